"""A broker that takes what is offered for accepted: it counts against him to whom it is offered, asked or not."""

from policies import broker
from policies.desk import Desk


class HastyDesk(Desk):
    """Whoever is offered something has it."""

    async def offer(self, parent: int, subject: str, rights: int, purpose: str, duration_us: int) -> None:
        """Grant it."""
        await self.request(subject, self.entry(parent).question.service, rights, purpose, duration_us, parent)


class Program(broker.Program):
    """The server."""

    desk = HastyDesk
