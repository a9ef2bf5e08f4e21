"""Works out squares, slowly. It gave its time back after `init`, so whoever calls pays for the work."""

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

WORK_TICKS = 3_000  # 300 microseconds


async def init(pd: PD) -> None:
    await pd.print("server: ready, and from now on without time of my own\n")


async def protected(pd: PD, ch: int, msg: Message) -> Message:
    await pd.compute(WORK_TICKS)
    return Message(words=[msg[0] ** 2])
