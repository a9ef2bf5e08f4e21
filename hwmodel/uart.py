"""A serial port like the NS16550A (its data sheet, PC16550D): byte registers at offsets 0 to 7.

    offset  read            write
    0       RBR (DLL*)      THR (DLL*)      * while LCR bit 7 (DLAB) is set
    1       IER (DLM*)      IER (DLM*)
    2       IIR             FCR
    3       LCR             LCR
    4       MCR             MCR
    5       LSR             -
    6       MSR             -
    7       SCR             SCR

What is written to THR is sent at once, so the transmitter is always empty. Bytes arrive when `poll`
is called, which belongs to the inputs of a run. The divisor is kept but has no effect on timing.
"""

from collections.abc import Callable

from hwmodel.backend import Backend
from hwmodel.events import EventQueue
from hwmodel.registers import require_size
from hwmodel.stateful import Stateful

RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR = range(8)
THR, FCR = 0, 2

IER_RX, IER_THRE, IER_LINE, IER_MODEM = 1, 2, 4, 8
IIR_NONE, IIR_MODEM, IIR_THRE, IIR_RX, IIR_LINE, IIR_TIMEOUT = 1, 0, 2, 4, 6, 12
IIR_FIFOS = 0xC0
FCR_ENABLE, FCR_CLEAR_RX = 1, 2
LCR_DLAB = 0x80
LSR_DR, LSR_OE, LSR_THRE, LSR_TEMT = 1, 2, 0x20, 0x40
MCR_LOOP = 0x10
MSR_CTS, MSR_DSR, MSR_RI, MSR_DCD = 0x10, 0x20, 0x40, 0x80

FIFO_SIZE = 16
TRIGGER_LEVELS = (1, 4, 8, 14)
TIMEOUT_TICKS = 3472
"""Four characters of 10 bits at 115,200 baud: how long a byte below the trigger level waits."""


class Uart(Stateful):
    """The port. `set_irq` drives its wire; `backend` is the far end of the line."""

    __slots__ = (
        "_backend", "_deltas", "_divisor", "_events", "_fcr", "_ier", "_lcr", "_mcr", "_name",
        "_overrun", "_received", "_scr", "_set_irq", "_thre_pending", "_timed_out",
    )  # fmt: skip
    STATE = (
        "_deltas", "_divisor", "_fcr", "_ier", "_lcr", "_mcr",
        "_overrun", "_received", "_scr", "_thre_pending", "_timed_out",
    )  # fmt: skip

    def __init__(self, name: str, events: EventQueue, set_irq: Callable[[bool], None], backend: Backend) -> None:
        self._name = name
        self._events = events
        self._set_irq = set_irq
        self._backend = backend
        self._divisor = 0
        self._ier = self._fcr = self._lcr = self._mcr = self._scr = 0
        self._deltas = 0
        self._received: list[int] = []
        self._overrun = False
        self._thre_pending = False
        self._timed_out = False
        events.connect(name, self._receive_timeout)

    # The far end

    def poll(self) -> int:
        """Take in as many bytes as have arrived and find room; return how many."""
        data = self._backend.read(self._capacity() - len(self._received))
        for code in data:
            self._receive(code)
        return len(data)

    def receive(self, data: bytes) -> None:
        """Let bytes arrive now, room or not: too many overrun the receiver, as on a real line."""
        for code in data:
            self._receive(code)

    # Registers

    def read(self, offset: int, size: int) -> int:
        """Read a register (see the table above); offsets from 8 on read as 0."""
        require_size(offset, size, 1)
        if offset in (0, 1) and self._lcr & LCR_DLAB:
            return self._divisor >> 8 * offset & 0xFF
        reader = _READERS.get(offset)
        value = reader(self) if reader else 0
        self._drive_irq()
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register (see the table above); offsets from 8 on ignore it."""
        require_size(offset, size, 1)
        if offset in (0, 1) and self._lcr & LCR_DLAB:
            shift = 8 * offset
            self._divisor = self._divisor & ~(0xFF << shift) | value << shift
            return
        writer = _WRITERS.get(offset)
        if writer:
            writer(self, value)
        self._drive_irq()

    def _read_rbr(self) -> int:
        value = self._received.pop(0) if self._received else 0
        self._restart_timeout()
        return value

    def _read_iir(self) -> int:
        source = self._interrupt_source()
        if source == IIR_THRE:
            self._thre_pending = False
        return source | (IIR_FIFOS if self._fcr & FCR_ENABLE else 0)

    def _read_lsr(self) -> int:
        overrun, self._overrun = self._overrun, False
        return (
            LSR_THRE | LSR_TEMT
            | (LSR_DR if self._received else 0)
            | (LSR_OE if overrun else 0)
        )  # fmt: skip

    def _read_msr(self) -> int:
        deltas, self._deltas = self._deltas, 0
        return self._modem_lines() | deltas

    def _write_thr(self, value: int) -> None:
        if self._mcr & MCR_LOOP:
            self._receive(value)
        else:
            self._backend.write(value)
        self._thre_pending = True

    def _write_ier(self, value: int) -> None:
        if value & ~self._ier & IER_THRE:
            self._thre_pending = True
        self._ier = value & 0x0F

    def _write_fcr(self, value: int) -> None:
        if (value ^ self._fcr) & FCR_ENABLE or value & FCR_CLEAR_RX:
            self._received.clear()
            self._restart_timeout()
        self._fcr = value & 0xC9 if value & FCR_ENABLE else 0

    def _write_lcr(self, value: int) -> None:
        self._lcr = value

    def _write_mcr(self, value: int) -> None:
        before = self._modem_lines()
        self._mcr = value & 0x1F
        changed = before ^ self._modem_lines()
        ring_ended = changed & before & MSR_RI
        self._deltas |= (changed & ~MSR_RI | ring_ended) >> 4

    def _write_scr(self, value: int) -> None:
        self._scr = value

    # Receiver, modem lines, interrupts

    def _capacity(self) -> int:
        return FIFO_SIZE if self._fcr & FCR_ENABLE else 1

    def _receive(self, code: int) -> None:
        if len(self._received) < self._capacity():
            self._received.append(code)
        else:
            self._overrun = True
            if not self._fcr & FCR_ENABLE:
                self._received[0] = code
        self._restart_timeout()
        self._drive_irq()

    def _restart_timeout(self) -> None:
        self._timed_out = False
        self._events.cancel(self._name)
        if self._received and self._fcr & FCR_ENABLE:
            self._events.schedule(self._events.clock.now + TIMEOUT_TICKS, self._name)

    def _receive_timeout(self, _code: int) -> None:
        self._timed_out = bool(self._received)
        self._drive_irq()

    def _modem_lines(self) -> int:
        if not self._mcr & MCR_LOOP:
            return MSR_CTS | MSR_DSR | MSR_DCD
        dtr, rts, out1, out2 = (self._mcr >> bit & 1 for bit in range(4))
        return dtr * MSR_DSR | rts * MSR_CTS | out1 * MSR_RI | out2 * MSR_DCD

    def _interrupt_source(self) -> int:
        """Return the identification of the enabled source of the highest priority."""
        ier = self._ier
        if ier & IER_LINE and self._overrun:
            return IIR_LINE
        if ier & IER_RX and self._received:
            if not self._fcr & FCR_ENABLE or len(self._received) >= TRIGGER_LEVELS[self._fcr >> 6]:
                return IIR_RX
            if self._timed_out:
                return IIR_TIMEOUT
        if ier & IER_THRE and self._thre_pending:
            return IIR_THRE
        return IIR_MODEM if ier & IER_MODEM and self._deltas else IIR_NONE

    def _drive_irq(self) -> None:
        self._set_irq(self._interrupt_source() != IIR_NONE)


_READERS: dict[int, Callable[[Uart], int]] = {
    RBR: Uart._read_rbr,
    IER: lambda uart: uart._ier,
    IIR: Uart._read_iir,
    LCR: lambda uart: uart._lcr,
    MCR: lambda uart: uart._mcr,
    LSR: Uart._read_lsr,
    MSR: Uart._read_msr,
    SCR: lambda uart: uart._scr,
}
_WRITERS: dict[int, Callable[[Uart, int], None]] = {
    THR: Uart._write_thr,
    IER: Uart._write_ier,
    FCR: Uart._write_fcr,
    LCR: Uart._write_lcr,
    MCR: Uart._write_mcr,
    SCR: Uart._write_scr,
}
