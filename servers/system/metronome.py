"""Beats time: signals its listeners at the start of each of its periods. It needs no device, only a budget."""

from capkernel.user.loop import PD

LISTENERS = 0, 1
"""Channels."""


async def init(pd: PD) -> None:
    """A thread that yields has its budget again when the next period begins."""
    while True:
        for channel in LISTENERS:
            await pd.notify(channel)
        await pd.sys.yield_()
