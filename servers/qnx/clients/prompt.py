"""A client that sends once in each of its periods, and writes down how long each answer took."""

from typing import Final

from capkernel.user.loop import PD
from servers.qnx.connection import Connection

report: int = 0

SERVER, BOOSTER = 0, 1
COUNT: Final = 40


async def init(pd: PD) -> None:
    """A thread that yields has its budget again when the next period begins."""
    connection = Connection(pd, SERVER, booster=BOOSTER if pd.values.notifications >> BOOSTER & 1 else None)
    for count in range(COUNT):
        await pd.sys.yield_()
        before = await pd.clock()
        await connection.send(1)
        await pd.store(report + 8 + 8 * count, (await pd.clock() - before) // 10)
        await pd.store(report, count + 1)
