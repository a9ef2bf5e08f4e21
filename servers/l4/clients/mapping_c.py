"""The third of three tasks in a row: it knows nothing of mappings. It writes, reads, and is served or waits."""

from typing import Final

from capkernel.user.loop import PD

report: int = 0

TO_A: Final = 0
PAGES, PAGE = 0x3000_0000, 0x1000
TURN, SEEN, AGAIN = 0, 8, 16
"""Offsets in the report: how often it was told to go on; what it read after each of these times."""
FIRST, SECOND, THIRD = 0xC0FFEE, 0xBEEF, 0xC0C0A


async def init(pd: PD) -> None:
    """Write two pages."""
    await pd.store(PAGES, FIRST)
    await pd.store(PAGES + PAGE, SECOND)
    await pd.notify(TO_A)


async def notified(pd: PD, ch: int) -> None:
    """Something was taken away."""
    turn = await pd.load(report + TURN) + 1
    if turn == 1:
        await pd.store(report + SEEN, await pd.load(PAGES))
        # A write, so that the page is there with all rights again.
        await pd.store(PAGES + PAGE + 8, await pd.load(PAGES + PAGE))
        await pd.store(PAGES + 8, turn)
    else:
        await pd.store(report + AGAIN, await pd.load(PAGES))
        await pd.store(PAGES, THIRD)
    await pd.store(report + TURN, turn)
    await pd.notify(TO_A)
