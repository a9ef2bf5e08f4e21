"""A pager that takes back what it has lent from time to time, so as to see what is still used."""

from capkernel.protocols.l4 import RWX, Fpage
from capkernel.user.loop import PD
from servers.l4.pager import PageFault, Pager

PATIENCE = 6
"""Faults after which all pages of its children are taken back."""


class AgeingPager(Pager):
    """The pager. ``report`` counts, by child, the faults that were served, and then its children's ends."""

    report: int = 0

    async def serve(self, pd: PD, fault: PageFault, place: int, rights: int) -> bool:
        """Map a page, and now and then none but this."""
        total = sum(self.faults.values())
        if total % PATIENCE == 0:
            for window in self.windows:
                await self.own.unmap(Fpage(window.source, window.bits, RWX), False)
        await pd.store(self.report + 8 * fault.child, self.faults[fault.child])
        return await super().serve(pd, fault, place, rights)
