"""A periodic task: each job works for what the task said that it needs; it writes down which were late."""

from typing import Final

from capkernel.user.loop import PD

SCHEDULER: Final = 0
JOBS, LATE, WORST = 0, 8, 16
"""Offsets in the report: jobs; those that were late; by how many microseconds the worst was."""
STEP_US, SPARED_US = 50, 100
"""A job asks for a little less than its budget, for what its system calls take."""


class Program:
    """The task; a subclass works longer than it said."""

    report: int = 0
    TIMES: int = 1

    async def init(self, pd: PD) -> None:
        """Work."""
        jobs = late = worst = 0
        while True:
            due, budget = (await pd.ppcall(SCHEDULER)).words
            for _ in range((self.TIMES * budget - SPARED_US) // STEP_US):
                await pd.compute(10 * STEP_US)
            after = await pd.clock() // 10 - due
            jobs, late, worst = jobs + 1, late + (after > 0), max(worst, after)
            for offset, word in ((JOBS, jobs), (LATE, late), (WORST, worst)):
                await pd.store(self.report + offset, word)
