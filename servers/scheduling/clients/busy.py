"""Computes for as long as it is let: a thread that hogs the processor within its budget. It counts what it has done."""

from typing import Final

from capkernel.user.loop import PD

report: int = 0

STEP: Final = 500
"""Ticks between two looks at the world."""


async def init(pd: PD) -> None:
    """Compute."""
    count = 0
    while True:
        await pd.compute(STEP)
        count += 1
        if report:
            await pd.store(report, count)
