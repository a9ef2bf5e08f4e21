"""The second of three tasks in a row: what it has comes from A, what C has from it; one page it grants away."""

from typing import Final

from capkernel.protocols.l4 import Fpage
from capkernel.user.loop import PD
from servers.l4.pager import PageFault, Pager, Window

C: Final = 0
TO_A: Final = 0
PAGES, C_PAGES, PAGE = 0x1000_0000, 0x3000_0000, 0x1000
FAULTS, GRANTED = 0, 8
"""Offsets in the report: faults of C; pages that were granted."""


class Program(Pager):
    """The task."""

    report: int = 0
    windows = (Window(C, C_PAGES, 14, PAGES),)

    async def notified(self, pd: PD, ch: int) -> None:
        """A wants the second page to be granted, and then to be touched."""
        if not await pd.load(self.report + GRANTED):
            granted = await self.own.grant(self.children[C], Fpage(PAGES + PAGE), C_PAGES + PAGE)
            await pd.store(self.report + GRANTED, granted)
        else:
            await pd.load(PAGES + PAGE)
        await pd.notify(TO_A)

    async def serve(self, pd: PD, fault: PageFault, place: int, rights: int) -> bool:
        """Count."""
        await pd.store(self.report + FAULTS, self.faults[C])
        return await super().serve(pd, fault, place, rights)
