"""The console on an NS16550A (its data sheet, PC16550D)."""

from capkernel.user.loop import PD
from servers.drivers.console import ConsoleProgram, Port

registers: int = 0

_DATA, _INTERRUPTS, _FIFO_CONTROL, _LINE_STATUS = 0, 1, 2, 5
_RECEIVED, _SENT = 1, 2
_FIFOS, _FIFOS_CLEARED = 0b0001, 0b0111
_HAS_DATA, _IS_EMPTY = 0x01, 0x20


class Ns16550:
    """The device."""

    fifo = 16

    def __init__(self, pd: PD, base: int) -> None:
        self.pd = pd
        self.base = base
        self.interrupts = _RECEIVED

    async def start(self) -> None:
        """Empty both FIFOs."""
        self.interrupts = _RECEIVED
        await self.pd.store(self.base + _FIFO_CONTROL, _FIFOS_CLEARED, 1)
        await self._interrupt(_RECEIVED, True)

    async def remind(self) -> None:
        """FIFOs, and interrupts."""
        await self.pd.store(self.base + _FIFO_CONTROL, _FIFOS, 1)
        await self._interrupt(0, True)

    async def send(self, data: bytes) -> None:
        """Fill the transmitter."""
        for byte in data:
            await self.pd.store(self.base + _DATA, byte, 1)
        await self._interrupt(_SENT, True)

    async def is_sent(self) -> bool:
        """Whether it is empty."""
        is_empty = bool(await self.pd.load(self.base + _LINE_STATUS, 1) & _IS_EMPTY)
        if is_empty:
            await self._interrupt(_SENT, False)
        return is_empty

    async def receive(self) -> int | None:
        """A byte."""
        if await self.pd.load(self.base + _LINE_STATUS, 1) & _HAS_DATA:
            return await self.pd.load(self.base + _DATA, 1)
        return None

    async def listen(self, is_on: bool) -> None:
        """Interrupts for received bytes."""
        await self._interrupt(_RECEIVED, is_on)

    async def _interrupt(self, kind: int, is_on: bool) -> None:
        self.interrupts = self.interrupts & ~kind | kind * is_on
        await self.pd.store(self.base + _INTERRUPTS, self.interrupts, 1)


class Program(ConsoleProgram):
    """The driver."""

    def make_port(self, pd: PD) -> Port:
        """The device."""
        return Ns16550(pd, registers)
