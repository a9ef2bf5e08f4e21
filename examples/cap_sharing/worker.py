"""Works in laps of a millisecond. It holds no cap to the foreman but the channel's, and cannot object."""

from capkernel.user.loop import PD

FOREMAN = 0
LAP_TICKS = 10_000


async def init(pd: PD) -> None:
    await lap(pd)
    await lap(pd)


async def lap(pd: PD) -> None:
    await pd.compute(LAP_TICKS)
    await pd.notify(FOREMAN)


async def notified(pd: PD, ch: int) -> None:
    await pd.print("worker: I heard you\n")
    while True:
        await lap(pd)
