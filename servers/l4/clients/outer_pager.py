"""The outermost of three nested pagers: one task, and a pager, which may die. Its memory is from sigma0."""

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.l4.clients.ageing_pager import AgeingPager
from servers.l4.pager import Window, sigma0_of

MIDDLE = 1
PAGES, BITS = 0x2000_0000, 16
ENDED = 16
"""Offset in the report: children that ended."""


class Program(AgeingPager):
    """The pager."""

    windows = (Window(0, 0x3000_0000, 14, PAGES), Window(MIDDLE, 0x1000_0000, 15, PAGES + 0x8000))

    async def init(self, pd: PD) -> None:
        """Get memory."""
        await super().init(pd)
        await sigma0_of(pd).any(self.own, BITS, PAGES)

    async def ended(self, pd: PD, child: int, msg: Message) -> bool:
        """Take back all that a dead child had, and with it all that came of that."""
        await self.take_back(pd, child)
        await pd.store(self.report + ENDED, await pd.load(self.report + ENDED) + 1)
        return False

    async def take_back(self, pd: PD, child: int) -> None:
        """The child's pages are the pager's again."""
        await self.children[child].clear()
