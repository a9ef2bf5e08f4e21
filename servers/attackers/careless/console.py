"""A console in which whoever comes first may wait: one client can take all places."""

from capkernel.user.loop import PD
from servers.drivers.console import ConsoleProgram, Port
from servers.drivers.console_ns16550 import Ns16550

registers: int = 0


class Program(ConsoleProgram):
    """The driver."""

    async def init(self, pd: PD) -> None:
        """Serve, without sharing the places."""
        await super().init(pd)
        self.service.may_wait = self.terminal.may_wait = lambda: bool(pd.spare_replies)

    def make_port(self, pd: PD) -> Port:
        """The device."""
        return Ns16550(pd, registers)
