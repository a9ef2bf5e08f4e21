"""Counts how often it is signalled: whoever is told that a partition is bankrupt."""

from capkernel.user.loop import PD

report: int = 0


async def init(pd: PD) -> None:
    """Nothing has happened."""


async def notified(pd: PD, ch: int) -> None:
    """It has."""
    await pd.store(report, await pd.load(report) + 1)
