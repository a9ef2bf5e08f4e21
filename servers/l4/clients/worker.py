"""A task that writes its pages, reads them back, and knows nothing of pagers."""

from capkernel.user.loop import PD

report: int = 0

PAGES, PAGE, COUNT, ROUNDS = 0x3000_0000, 0x1000, 4, 8
DONE, WRONG = 0, 8
"""Offsets in the report: rounds that are over, words that were not what had been written."""
PAUSE = 500


async def init(pd: PD) -> None:
    """Work."""
    wrong = 0
    for turn in range(1, ROUNDS + 1):
        for page in range(COUNT):
            address = PAGES + page * PAGE
            before = await pd.load(address)
            wrong += before != (address + turn - 1 if turn > 1 else 0)
            await pd.store(address, address + turn)
            await pd.compute(PAUSE)
        await pd.store(report + WRONG, wrong)
        await pd.store(report + DONE, turn)
