"""The first of three tasks in a row: it has pages of sigma0's, maps them to B, takes them away, and says when."""

from typing import Final

from capkernel.protocols.l4 import RWX, Fpage, R, Rights
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.l4.pager import Pager, Window, sigma0_of

B, GRABBER = 0, 1
TO_B, TO_C = 1, 2
"""Channels."""
PAGES: Final = Fpage(0x2000_0000, 14, RWX)
LENT: Final = 0x2000_3000
"""The last page, which the grabber may read."""
STAGE, FAULTS, DENIED = 0, 8, 16
"""Offsets in the report: how far this is; faults of B; faults of the grabber that were not served."""
SECRET: Final = 0x5EC2E7
PAUSE: Final = 50_000
"""Ticks in which nothing happens, so that what is mapped can be seen from outside."""


class Program(Pager):
    """The task."""

    report: int = 0
    windows = (Window(B, 0x1000_0000, PAGES.bits, PAGES.address), Window(GRABBER, 0x3800_0000, 12, LENT, R))

    def __init__(self) -> None:
        super().__init__()
        self.stage = 0

    async def init(self, pd: PD) -> None:
        """Get memory."""
        await super().init(pd)
        await sigma0_of(pd).any(self.own, PAGES.bits, PAGES.address)
        await pd.store(LENT, SECRET)

    async def notified(self, pd: PD, ch: int) -> None:
        """B or C has done its part: it is A's turn, and then another's."""
        await self.show(pd)
        match self.stage:
            case 1:
                await self.own.unmap(PAGES, False)
                await self.show(pd)
                await pd.notify(TO_C)
            case 3:
                await self.own.unmap(Fpage(PAGES.address, PAGES.bits, int(Rights.WRITE)), False)
                await self.show(pd)
                await pd.notify(TO_C)
            case 5 | 6:
                await pd.notify(TO_B)
            case 7:
                await self.own.unmap(PAGES, False)
                await self.show(pd)

    async def show(self, pd: PD) -> None:
        """Let what is so be seen."""
        self.stage += 1
        await pd.store(self.report + FAULTS, self.faults.get(B, 0))
        await pd.store(self.report + STAGE, self.stage)
        await pd.compute(PAUSE)

    async def ended(self, pd: PD, child: int, msg: Message) -> bool:
        """A child touched what it has not got."""
        await pd.store(self.report + DENIED, await pd.load(self.report + DENIED) + (child == GRABBER))
        return False
