"""A periodic task: it works for as long as it said, and writes down how many jobs it did, and how many were late."""

from capkernel.user.loop import PD

report: int = 0
work_us: int = 0

SCHEDULER = 0
JOBS, LATE, WORST = 0, 8, 16
"""Offsets in the report: jobs; those that were late; the longest time that one was late, in microseconds."""


async def init(pd: PD) -> None:
    """Work. The table in the report's second half may say how many microseconds: a description sets it."""
    work = await pd.load(work_us)
    jobs = late = worst = 0
    while True:
        due = (await pd.ppcall(SCHEDULER))[0]
        for _ in range(work // 50):
            await pd.compute(500)
        after = await pd.clock() // 10 - due
        jobs, late, worst = jobs + 1, late + (after > 0), max(worst, after)
        for offset, word in ((JOBS, jobs), (LATE, late), (WORST, max(0, worst))):
            await pd.store(report + offset, word)
