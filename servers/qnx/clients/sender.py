"""Sends a few messages, one after the other, and writes down how many were answered."""

from typing import Final

from capkernel.user.loop import PD
from servers.qnx.connection import Connection

report: int = 0

SERVER: Final = 0
COUNT: Final = 3


async def init(pd: PD) -> None:
    """Send."""
    connection = Connection(pd, SERVER)
    for kind in range(1, COUNT + 1):
        await connection.send(kind)
        await pd.store(report, kind)
