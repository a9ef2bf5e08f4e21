"""A task that may read one page of another's, and tries by all that it has to write it."""

from capkernel.protocols.failures import Failure
from capkernel.protocols.l4 import EVERYTHING, RWX, Fpage
from capkernel.user.loop import PD
from servers.l4.pager import space_of

report: int = 0

PAGE, ALIAS = 0x3800_0000, 0x3900_0000
READ, REFUSED, TRIED, WROTE = 0, 8, 16, 24
"""Offsets in the report: what it read; attempts that were refused, and made; whether a write went through."""
FORGED = 0xBAD


async def init(pd: PD) -> None:
    """Read, then map the page to other places with more rights, take rights from others, and write."""
    own = space_of(pd)
    await pd.store(report + READ, await pd.load(PAGE))
    refused = 0
    attempts = (
        own.unmap(EVERYTHING, False),
        own.map(own, Fpage(PAGE, rights=RWX), ALIAS),
        own.map(own, Fpage(PAGE, rights=RWX), PAGE),
        own.grant(own, Fpage(PAGE, rights=RWX), ALIAS + 0x1000),
        own.map(own, Fpage(ALIAS + 0x1000, rights=RWX), PAGE),
        own.map(own, EVERYTHING, ALIAS),
    )
    for attempt in attempts:
        try:
            await attempt
        except Failure:
            refused += 1
    await pd.store(report + REFUSED, refused)
    await pd.store(report + TRIED, len(attempts))
    await pd.store(PAGE, FORGED)
    await pd.store(report + WROTE, 1)
