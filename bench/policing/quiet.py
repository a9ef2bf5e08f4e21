"""Does nothing."""

from capkernel.user.loop import PD

report: int = 0


def init(pd: PD) -> None:
    """Nothing."""
