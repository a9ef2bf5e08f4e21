"""The console on SiFive's serial port (FU540-C000 manual, chapter 13)."""

from capkernel.user.loop import PD
from servers.drivers.console import ConsoleProgram, Port

registers: int = 0

_SEND, _RECEIVE, _SEND_CONTROL, _RECEIVE_CONTROL, _INTERRUPTS, _PENDING = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14
_ENABLE = 1
_BELOW_ONE = 1 << 16
_SENT, _RECEIVED = 1, 2
_NOTHING = 1 << 31


class SiFivePort:
    """The device."""

    fifo = 8

    def __init__(self, pd: PD, base: int) -> None:
        self.pd = pd
        self.base = base
        self.interrupts = _RECEIVED

    async def start(self) -> None:
        """Enable both directions, and throw away what came before."""
        self.interrupts = _RECEIVED
        await self.remind()
        for _ in range(self.fifo):
            await self.receive()
        await self._interrupt(_RECEIVED, True)

    async def remind(self) -> None:
        """Both directions, and interrupts."""
        await self.pd.store(self.base + _SEND_CONTROL, _ENABLE | _BELOW_ONE, 4)
        await self.pd.store(self.base + _RECEIVE_CONTROL, _ENABLE, 4)
        await self._interrupt(0, True)

    async def send(self, data: bytes) -> None:
        """Fill the transmitter."""
        for byte in data:
            await self.pd.store(self.base + _SEND, byte, 4)
        await self._interrupt(_SENT, True)

    async def is_sent(self) -> bool:
        """Whether it is empty."""
        is_empty = bool(await self.pd.load(self.base + _PENDING, 4) & _SENT)
        if is_empty:
            await self._interrupt(_SENT, False)
        return is_empty

    async def receive(self) -> int | None:
        """A byte."""
        found = await self.pd.load(self.base + _RECEIVE, 4)
        return None if found & _NOTHING else found

    async def listen(self, is_on: bool) -> None:
        """Interrupts for received bytes."""
        await self._interrupt(_RECEIVED, is_on)

    async def _interrupt(self, kind: int, is_on: bool) -> None:
        self.interrupts = self.interrupts & ~kind | kind * is_on
        await self.pd.store(self.base + _INTERRUPTS, self.interrupts, 4)


class Program(ConsoleProgram):
    """The driver."""

    def make_port(self, pd: PD) -> Port:
        """The device."""
        return SiFivePort(pd, registers)
