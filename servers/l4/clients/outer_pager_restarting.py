"""An outermost pager that starts a dead pager anew. The tasks below wait, and find their pages as they were."""

from capkernel.user import lifecycle
from capkernel.user.loop import PD
from servers.l4.clients import outer_pager

LIFECYCLE = 330
"""Slot of the lifecycle cap to the pager that may die."""


class Program(outer_pager.Program):
    """The pager."""

    async def take_back(self, pd: PD, child: int) -> None:
        """The next life begins without any page."""
        if child == outer_pager.MIDDLE:
            await lifecycle.destroy(pd.sys, LIFECYCLE)
        await super().take_back(pd, child)
        if child == outer_pager.MIDDLE:
            await lifecycle.rebuild(pd.sys, LIFECYCLE)
            await lifecycle.start(pd.sys, LIFECYCLE)
