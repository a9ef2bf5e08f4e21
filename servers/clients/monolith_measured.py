"""Everything in one domain (see ``linked``), with the client of the benchmark."""

from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from servers.clients.linked import SUPERVISOR, Linked, Places
from servers.clients.measured import Program as Measured

registers: int = 0
rings: int = 0
transfer: int = 0
transfer_size: int = 0x1_0000
report: int = 0


class Program:
    """The domain."""

    async def init(self, pd: PD) -> None:
        """Do the client's work."""
        places = Places(registers, rings, SharedRegion(transfer, transfer_size), report)
        await Linked(Measured(), places).run(pd)

    async def notified(self, pd: PD, ch: int) -> None:
        """When the work is done, signs of life remain."""
        if ch == SUPERVISOR:
            await pd.notify(SUPERVISOR)
