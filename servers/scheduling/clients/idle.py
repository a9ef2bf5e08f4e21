"""Does nothing, for ever, and says so."""

from capkernel.user.loop import PD

report: int = 0


async def init(pd: PD) -> None:
    """Nothing was done."""
    await pd.store(report, 0)


async def notified(pd: PD, ch: int) -> None:
    """Nothing."""
