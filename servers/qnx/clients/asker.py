"""A client that asks for sums, and writes down what it was told: a sum that is right, an error, a sum that is wrong."""

from typing import Final

from capkernel.user.loop import PD
from servers.qnx.connection import Connection
from servers.qnx.errors import QnxError

report: int = 0

SERVER: Final = 0
ADD: Final = 1
COUNT: Final = 4
DONE, RIGHT, WRONG, ERRORS = 0, 8, 16, 24
"""Offsets in the report: requests that ended; how; from ``ERRORS`` on, the error number of each, 0 if there is none."""
PAUSE: Final = 1_000
"""Ticks between two requests."""


async def init(pd: PD) -> None:
    """Ask."""
    connection = Connection(pd, SERVER)
    right = wrong = 0
    for count in range(COUNT):
        errno = 0
        try:
            reply = await connection.send(ADD, [count, 40])
            right, wrong = right + (reply.words == (count + 40,)), wrong + (reply.words != (count + 40,))
        except QnxError as error:
            errno = error.errno
        await pd.store(report + RIGHT, right)
        await pd.store(report + WRONG, wrong)
        await pd.store(report + ERRORS + 8 * count, errno)
        await pd.store(report + DONE, count + 1)
        await pd.compute(PAUSE)
