"""A requester who does not look at certificates."""

from capkernel.user.loop import PD as PD
from policies.clients import requester

report: int = 0


class Program(requester.Program):
    """The client."""

    is_careful = False

    async def init(self, pd: PD) -> None:
        """Write the report where this program was given room for it."""
        requester.report = report
        await super().init(pd)
