"""A user who wants nothing: for a machine that only serves others."""

from capkernel.user.loop import PD

report: int = 0
orders: int = 0


async def init(pd: PD) -> None:
    """Nothing."""


async def notified(pd: PD, ch: int) -> None:
    """Nothing."""
