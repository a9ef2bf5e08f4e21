"""What the attackers among the users have in common: to be somebody, and to begin when the others are there."""

from abc import ABC, abstractmethod

from capkernel.user.loop import PD
from servers.hurd.clients.user import OTHER, Being


class Attacker(Being, ABC):
    """A user who tries what it may not."""

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
