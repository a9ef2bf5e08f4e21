"""The owner of a subhurd without one: it logs in, and does nothing more."""

from capkernel.user.loop import PD
from servers.hurd.clients.user import Being


class Program(Being):
    """The client."""

    async def init(self, pd: PD) -> None:
        """Be somebody, and begin."""
        await super().init(pd)
        await self.begin()

    async def begin(self) -> None:
        """Nothing more."""
        await self.user.notes.over()

    async def notified(self, pd: PD, ch: int) -> None:
        """A beat."""
