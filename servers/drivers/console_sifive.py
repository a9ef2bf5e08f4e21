"""The console on SiFive's serial port (FU540-C000 manual, chapter 13)."""

from capkernel.user.loop import PD
from servers.drivers.console import ConsoleProgram, Port

registers: int = 0

_SEND, _RECEIVE, _SEND_CONTROL, _RECEIVE_CONTROL, _INTERRUPTS, _PENDING = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14
_ENABLE = 1
_BELOW_ONE = 1 << 16
_NOTHING = 1 << 31
_BYTE = 0xFF


class SiFivePort(Port):
    """The device."""

    fifo = 8
    SENT, RECEIVED = 1, 2

    async def reset(self) -> None:
        """Throw away what came before."""
        await self.set_up()
        for _ in range(self.fifo):
            await self.receive()

    async def set_up(self) -> None:
        """Both directions."""
        await self.pd.store(self.base + _SEND_CONTROL, _ENABLE | _BELOW_ONE, 4)
        await self.pd.store(self.base + _RECEIVE_CONTROL, _ENABLE, 4)

    async def enable(self, interrupts: int) -> None:
        """The interrupt enable register."""
        await self.pd.store(self.base + _INTERRUPTS, interrupts, 4)

    async def put(self, byte: int) -> None:
        """The transmit data register."""
        await self.pd.store(self.base + _SEND, byte, 4)

    async def is_empty(self) -> bool:
        """As the watermark says."""
        return bool(await self.pd.load(self.base + _PENDING, 4) & self.SENT)

    async def receive(self) -> int | None:
        """A byte: the rest of the register is reserved, and a failing device may set it."""
        found = await self.pd.load(self.base + _RECEIVE, 4)
        return None if found & _NOTHING else found & _BYTE


class Program(ConsoleProgram):
    """The driver."""

    def make_port(self, pd: PD) -> Port:
        """The device."""
        return SiFivePort(pd, registers)
