"""A client of sigma0's that takes what it can get, and asks again for what it and others have."""

from collections.abc import Awaitable
from typing import Any

from capkernel.protocols.failures import Failure, NoSpace
from capkernel.protocols.l4 import Fpage
from capkernel.user.loop import PD
from servers.l4.pager import sigma0_of, space_of

report: int = 0

PAGES, AGAIN, DEVICE = 0x2000_0000, 0x2800_0000, 0x3000_0000
DEVICES = (0x101000, 0x1000_1000)
"""Physical addresses of devices' pages."""
NOBODYS = (0x8020_0000, 0x0C00_0000)
"""The kernel's memory, and the interrupt controller: sigma0 has neither."""
DONE, BYTES, PIECES, ASKED, DENIED, MINE, FOREIGN = 0, 8, 16, 24, 32, 40, 48
"""Offsets in the report: whether it is over; bytes of RAM that it got, in how many pieces; second requests, and how
many of them were denied; pages of devices that it got; requests for nobody's memory that were granted.
"""
LARGE = 14


async def init(pd: PD) -> None:
    """Large pieces as long as there are some, then pages; devices; then all of it once more, by address."""
    own, sigma0 = space_of(pd), sigma0_of(pd)
    got: list[Fpage] = []
    bits = LARGE
    while bits >= Fpage(0).bits:
        try:
            got.append(await sigma0.any(own, bits, PAGES + (len(got) << LARGE)))
        except NoSpace:
            bits -= 2
        # Others shall get something, too.
        await pd.compute(1_000)
    pages = [Fpage(address) for address in DEVICES]
    mine = [await _is_granted(sigma0.request(own, page, DEVICE + 0x1000 * n)) for n, page in enumerate(pages)]
    again = [await _is_granted(sigma0.request(own, fpage, AGAIN)) for fpage in (*got, *pages)]
    foreign = [await _is_granted(sigma0.request(own, Fpage(address), AGAIN)) for address in NOBODYS]
    await pd.store(report + BYTES, sum(fpage.size for fpage in got))
    await pd.store(report + PIECES, len(got))
    await pd.store(report + ASKED, len(again))
    await pd.store(report + DENIED, len(again) - sum(again))
    await pd.store(report + MINE, sum(mine))
    await pd.store(report + FOREIGN, sum(foreign))
    await pd.store(report + DONE, 1)


async def _is_granted(request: Awaitable[Any]) -> bool:
    try:
        await request
    except Failure:
        return False
    return True
