"""A task that does nothing, in the place of any other."""

from capkernel.user.loop import PD

report: int = 0
shared: int = 0
shared_size: int = 0
store: int = 0
store_size: int = 0


async def init(pd: PD) -> None:
    """Nothing."""
