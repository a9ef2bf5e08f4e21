"""A console that puts a text out before it looks whether its client may wait: what it refuses is on the terminal."""

from capkernel.user.loop import PD
from servers.drivers.console import ConsoleProgram, Port
from servers.drivers.console_ns16550 import Ns16550

registers: int = 0


class Program(ConsoleProgram):
    """The driver."""

    async def init(self, pd: PD) -> None:
        """Serve; the terminal believes that everybody may wait."""
        await super().init(pd)
        self.terminal.may_wait = lambda: True

    def make_port(self, pd: PD) -> Port:
        """The device."""
        return Ns16550(pd, registers)
