"""The owner of a subhurd without one: it logs in, and does nothing more."""

from typing import Any

from capkernel.user.loop import PD
from servers.hurd.clients.user import User


class Program:
    """The client."""

    report: int = 0

    def __init__(self) -> None:
        self.user: Any = None

    async def init(self, pd: PD) -> None:
        """Be somebody."""
        self.user = User(pd, self.report)
        await self.user.log_in()
        await self.begin()

    async def begin(self) -> None:
        """Nothing more."""
        await self.user.notes.over()

    async def notified(self, pd: PD, ch: int) -> None:
        """A beat."""
