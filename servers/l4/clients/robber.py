"""A client of sigma0's that passes off an accomplice's endpoint as its space."""

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.l4 import Fpage, Space
from capkernel.user.loop import PD
from servers.l4.pager import sigma0_of

report: int = 0

ACCOMPLICE = 303
TRIED, GRANTED = 0, 8
"""Offsets in the report: requests, and those that were granted."""
DEVICE = 0x1000_1000


async def init(pd: PD) -> None:
    """Ask in both ways."""
    sigma0 = sigma0_of(pd)
    space = connect(Space, Connection(pd.sys), ACCOMPLICE)
    granted = 0
    attempts = (sigma0.any(space, Fpage(0).bits, 0x2000_0000), sigma0.request(space, Fpage(DEVICE), 0x3000_0000))
    for attempt in attempts:
        try:
            await attempt
            granted += 1
        except Failure:
            continue
    await pd.store(report + GRANTED, granted)
    await pd.store(report + TRIED, len(attempts))
