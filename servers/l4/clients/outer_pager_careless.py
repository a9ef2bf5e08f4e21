"""An outermost pager that leaves a dead child what it had."""

from capkernel.user.loop import PD
from servers.l4.clients import outer_pager


class Program(outer_pager.Program):
    """The pager."""

    async def take_back(self, pd: PD, child: int) -> None:
        """Nothing is taken."""
