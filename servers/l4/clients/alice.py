"""A client that makes transfers, and looks whether each is the one that it wanted."""

from typing import Final

from capkernel.user.loop import PD
from servers.l4.clients.teller import BEGIN, COMMIT, DONE
from servers.l4.ipc import Ipc

report: int = 0

TELLER: Final = 0
COUNT: Final = 20
ENDED, RIGHT = 0, 8
"""Offsets in the report: transfers that were made, and those that are as they were wanted."""
FIRST_PAUSE, PAUSE = 30_000, 300


async def init(pd: PD) -> None:
    """Make transfers, each of two calls, with time for others in between."""
    ipc = Ipc(pd)
    await pd.compute(FIRST_PAUSE)
    for amount in range(COUNT):
        account = 1000 + amount
        await ipc.call(TELLER, BEGIN, (amount,))
        await pd.compute(PAUSE)
        answer = await ipc.call(TELLER, COMMIT, (account,))
        right = await pd.load(report + RIGHT) + ((answer.label, answer.words) == (DONE, (amount, account)))
        await pd.store(report + RIGHT, right)
        await pd.store(report + ENDED, amount + 1)
        await pd.compute(PAUSE)
