"""The pager of the archives: an L4 pager that dies like others, and finds what it has lent in its next life.

Its pages stay in its space at the mapper, with all that came of them, while it is dead: its children go on with what
they have. What a child wrote is in the pager's pages, so a child in its next life finds it there.
"""

from typing import Final

from capkernel.protocols.l4 import RWX, Fpage
from capkernel.user.loop import PD
from servers.l4 import pager
from servers.l4.pager import PageFault, Window, sigma0_of

RED, BLUE = 0, 1
SUPERVISOR: Final = 1
PAGES, BITS, CHILD_BITS = 0x2000_0000, 15, 14
CHILD_WINDOW: Final = 0x3000_0000
BEATS: Final = 5
"""Beats of the supervisor after which all pages of its children are taken back: so it is seen what is still used."""


class Program(pager.Pager):
    """The pager. ``report`` counts the faults that were served, by child, through all its lives."""

    report: int = 0

    windows = (
        Window(RED, CHILD_WINDOW, CHILD_BITS, PAGES), Window(BLUE, CHILD_WINDOW, CHILD_BITS, PAGES + (1 << CHILD_BITS)),
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.beats = 0

    async def init(self, pd: PD) -> None:
        """Get memory, if no former life has."""
        await super().init(pd)
        if not (await self.own.info()).pages:
            await sigma0_of(pd).any(self.own, BITS, PAGES)
        await pd.notify(SUPERVISOR)

    async def serve(self, pd: PD, fault: PageFault, place: int, rights: int) -> bool:
        """Map a page. A child that faults where it has a page is in a new space, and all that the old one had goes."""
        child, count = self.children[fault.child], self.report + 8 * fault.child
        await pd.store(count, await pd.load(count) + 1)
        if await child.rights(fault.address) & fault.access:
            await child.clear()
        if await super().serve(pd, fault, place, rights):
            return True
        # Tables of its former lives may have used up what it may have.
        await child.clear()
        return await super().serve(pd, fault, place, rights)

    async def notified(self, pd: PD, ch: int) -> None:
        """A sign of life is wanted."""
        self.beats += 1
        if self.beats % BEATS == 0:
            await self.own.unmap(Fpage(PAGES, BITS, RWX), False)
        await pd.notify(SUPERVISOR)
