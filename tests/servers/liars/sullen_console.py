"""A console's driver that lives, gives signs of life, and puts out nothing but the first texts, in its first life."""

from capkernel.protocols.failures import DeviceError
from capkernel.protocols.interface import Interface
from capkernel.user.loop import PD
from servers.drivers import console_ns16550
from servers.drivers.console import OutputServant, Port

registers: int = 0
TEXTS = 3
"""That it puts out in its first life."""


class SullenOutput(OutputServant):
    """The terminal, as long as it is asked."""

    left = 1 << 30

    async def write(self, text: str) -> None:
        """Do it, or not."""
        if self.left <= 0:
            raise DeviceError("no")
        self.left -= 1
        await super().write(text)


class Program(console_ns16550.Program):
    """The driver."""

    output: SullenOutput

    async def init(self, pd: PD) -> None:
        """Note which life this is."""
        await super().init(pd)
        self.output = SullenOutput(self.terminal)
        if pd.life == 1:
            self.output.left = TEXTS

    def make_port(self, pd: PD) -> Port:
        """The device."""
        return console_ns16550.Ns16550(pd, registers)

    def _root(self, session: int) -> Interface | None:
        found = super()._root(session)
        return self.output if isinstance(found, OutputServant) else found
