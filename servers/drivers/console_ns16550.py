"""The console on an NS16550A (its data sheet, PC16550D)."""

from capkernel.user.loop import PD
from servers.drivers.console import ConsoleProgram, Port

registers: int = 0

_DATA, _INTERRUPTS, _FIFO_CONTROL, _LINE_STATUS = 0, 1, 2, 5
_FIFOS, _FIFOS_CLEARED = 0b0001, 0b0111
_HAS_DATA, _IS_EMPTY = 0x01, 0x20


class Ns16550(Port):
    """The device."""

    fifo = 16
    RECEIVED, SENT = 1, 2

    async def reset(self) -> None:
        """Empty both FIFOs."""
        await self.pd.store(self.base + _FIFO_CONTROL, _FIFOS_CLEARED, 1)

    async def set_up(self) -> None:
        """With FIFOs."""
        await self.pd.store(self.base + _FIFO_CONTROL, _FIFOS, 1)

    async def enable(self, interrupts: int) -> None:
        """The interrupt enable register."""
        await self.pd.store(self.base + _INTERRUPTS, interrupts, 1)

    async def put(self, byte: int) -> None:
        """The transmitter holding register."""
        await self.pd.store(self.base + _DATA, byte, 1)

    async def is_empty(self) -> bool:
        """As the line status says."""
        return bool(await self.pd.load(self.base + _LINE_STATUS, 1) & _IS_EMPTY)

    async def receive(self) -> int | None:
        """A byte."""
        if await self.pd.load(self.base + _LINE_STATUS, 1) & _HAS_DATA:
            return await self.pd.load(self.base + _DATA, 1)
        return None


class Program(ConsoleProgram):
    """The driver."""

    def make_port(self, pd: PD) -> Port:
        """The device."""
        return Ns16550(pd, registers)
