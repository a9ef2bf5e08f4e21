"""An ordinary server: it gives squares, and counts them where that outlives it."""

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

report: int = 0

WORK = 100


async def init(pd: PD) -> None:
    """Nothing is to be prepared."""


async def protected(pd: PD, ch: int, msg: Message) -> Message:
    """A square. It takes a system call besides the answer, so that there is a point to die in between."""
    await pd.compute(WORK)
    await pd.store(report, await pd.load(report) + 1)
    await pd.sys.yield_()
    return Message(0, (msg.words[0] ** 2,))
