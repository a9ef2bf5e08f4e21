"""A server in Python: squares the words of each message. Its client is `examples/c/pd/asker.c`."""

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message


async def init(pd: PD) -> None:
    await pd.print("squares: Python, ready\n")


async def protected(pd: PD, ch: int, msg: Message) -> Message:
    return Message(msg.label, [word * word for word in msg.words])
