"""A serial port like the one in SiFive's chips (FU540-C000 manual, chapter 13): 32-bit registers, FIFOs of 8 bytes.

    0x00  TXDATA  write: bits 7..0 to send; read: bit 31 if the FIFO is full
    0x04  RXDATA  read: bits 7..0 the next byte, or bit 31 if there is none
    0x08  TXCTRL  bit 0 TXEN, bit 1 NSTOP, bits 18..16 TXCNT
    0x0c  RXCTRL  bit 0 RXEN, bits 18..16 RXCNT
    0x10  IE      bit 0 TXWM, bit 1 RXWM
    0x14  IP      read: bit 0 fewer than TXCNT bytes wait to be sent, bit 1 more than RXCNT bytes were received
    0x18  DIV     bits 15..0, kept without effect on timing

While TXEN is set, bytes are sent at once; otherwise they wait in the FIFO, and a byte stored to a full FIFO is lost.
Bytes arrive when `poll` is called and RXEN is set.
"""

from collections.abc import Callable

from hwmodel.backend import Backend
from hwmodel.registers import require_size
from hwmodel.stateful import Stateful

TXDATA, RXDATA, TXCTRL, RXCTRL, IE, IP, DIV = range(0x00, 0x1C, 4)
TXEN, NSTOP, RXEN = 1, 2, 1
TXWM, RXWM = 1, 2
FULL = EMPTY = 1 << 31
FIFO_SIZE = 8
_COUNT_SHIFT, _COUNT = 16, 7


class SiFiveUart(Stateful):
    """The port. `set_irq` drives its wire; `backend` is the far end of the line."""

    __slots__ = ("_backend", "_divisor", "_ie", "_received", "_rxctrl", "_set_irq", "_txctrl", "_unsent")
    STATE = ("_divisor", "_ie", "_received", "_rxctrl", "_txctrl", "_unsent")

    def __init__(self, set_irq: Callable[[bool], None], backend: Backend) -> None:
        self._set_irq = set_irq
        self._backend = backend
        self._divisor = self._ie = self._rxctrl = self._txctrl = 0
        self._received: list[int] = []
        self._unsent: list[int] = []

    def poll(self) -> int:
        """Take in as many bytes as have arrived and find room; return how many."""
        if not self._rxctrl & RXEN:
            return 0
        data = self._backend.read(FIFO_SIZE - len(self._received))
        self._received += data
        self._drive_irq()
        return len(data)

    def read(self, offset: int, size: int) -> int:
        """Read a register (see the table above)."""
        require_size(offset, size, 4)
        if offset == RXDATA:
            return self._take()
        return {
            TXDATA: FULL if len(self._unsent) >= FIFO_SIZE else 0, TXCTRL: self._txctrl, RXCTRL: self._rxctrl,
            IE: self._ie, IP: self._pending(), DIV: self._divisor,
        }.get(offset, 0)  # fmt: skip

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register (see the table above)."""
        require_size(offset, size, 4)
        count = value & _COUNT << _COUNT_SHIFT
        if offset == TXDATA and len(self._unsent) < FIFO_SIZE:
            self._unsent.append(value & 0xFF)
        elif offset == TXCTRL:
            self._txctrl = value & (TXEN | NSTOP) | count
        elif offset == RXCTRL:
            self._rxctrl = value & RXEN | count
        elif offset == IE:
            self._ie = value & (TXWM | RXWM)
        elif offset == DIV:
            self._divisor = value & 0xFFFF
        self._send()
        self._drive_irq()

    def _take(self) -> int:
        value = self._received.pop(0) if self._received else EMPTY
        self._drive_irq()
        return value

    def _send(self) -> None:
        if self._txctrl & TXEN:
            for code in self._unsent:
                self._backend.write(code)
            self._unsent.clear()

    def _pending(self) -> int:
        sending = len(self._unsent) < self._txctrl >> _COUNT_SHIFT & _COUNT
        received = len(self._received) > self._rxctrl >> _COUNT_SHIFT & _COUNT
        return (TXWM if sending else 0) | (RXWM if received else 0)

    def _drive_irq(self) -> None:
        self._set_irq(bool(self._ie & self._pending()))
