"""A task that does nothing."""

from capkernel.user.loop import PD

report: int = 0


async def init(pd: PD) -> None:
    """Nothing."""
