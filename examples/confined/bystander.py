"""Goes about its business, and counts how often."""

from capkernel.user.loop import PD

beats: int = 0


async def init(pd: PD) -> None:
    while True:
        await pd.store(beats, await pd.load(beats) + 1)
        await pd.sys.yield_()
