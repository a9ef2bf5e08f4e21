"""Asks to be woken three times, each time later, and measures how long it slept."""

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

TIMER = 0
NAPS = [100, 1_000, 25_000]  # microseconds
TICKS_PER_US = 10
asleep_since = 0


async def init(pd: PD) -> None:
    await sleep(pd)


async def notified(pd: PD, ch: int) -> None:
    slept = (await pd.clock() - asleep_since) // TICKS_PER_US
    await pd.print(f"client: asked for {NAPS.pop(0)} us, slept {slept} us\n")
    if NAPS:
        await sleep(pd)


async def sleep(pd: PD) -> None:
    global asleep_since
    asleep_since = await pd.clock()
    await pd.ppcall(TIMER, Message(words=[NAPS[0]]))
