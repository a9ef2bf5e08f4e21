"""What the attackers among the users have in common: to be somebody, and to begin when the others are there."""

from abc import ABC, abstractmethod
from typing import Any

from capkernel.user.loop import PD
from servers.hurd.clients.user import OTHER, User


class Attacker(ABC):
    """A user who tries what it may not. ``report`` is where it takes notes."""

    report: int = 0

    def __init__(self) -> None:
        self.user: Any = None

    async def init(self, pd: PD) -> None:
        """Be somebody."""
        self.user = User(pd, self.report)
        await self.user.log_in()

    async def notified(self, pd: PD, ch: int) -> None:
        """The others are there: try, and say that it is done."""
        if ch != OTHER:
            return
        await self.attack()
        await self.user.notes.over()
        await pd.notify(OTHER)

    @abstractmethod
    async def attack(self) -> None:
        """Try everything, and note what came of it."""
