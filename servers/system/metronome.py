"""Beats time: signals its listeners at the start of each of its periods. It needs no device, only a budget."""

from capkernel.user.loop import PD

MAX_LISTENERS = 8
"""Channels 0 to 7, those that there are."""


async def init(pd: PD) -> None:
    """A thread that yields has its budget again when the next period begins."""
    listeners = [channel for channel in range(MAX_LISTENERS) if pd.values.notifications >> channel & 1]
    while True:
        for channel in listeners:
            await pd.notify(channel)
        await pd.sys.yield_()
