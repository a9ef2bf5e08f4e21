"""The smallest protection domain: it says hello, then answers every protected call with the caller's words."""

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message


async def init(pd: PD) -> None:
    await pd.print("hello, capabilities\n")


async def protected(pd: PD, ch: int, msg: Message) -> Message:
    return Message(msg.label, msg.words)
