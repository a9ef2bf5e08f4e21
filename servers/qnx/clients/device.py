"""Stands in for a slow device: at the start of each of its periods, by a pulse, it says that there is data."""

from typing import Final

from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from servers.qnx.connection import Connection

ring: int = 0

SERVER: Final = 0
DATA: Final = 1


async def init(pd: PD) -> None:
    """A thread that yields has its budget again when the next period begins."""
    connection = Connection(pd, SERVER, ring=SharedRegion(ring, 0x1000))
    count = 0
    while True:
        await connection.pulse(120, DATA, count)
        count += 1
        await pd.sys.yield_()
