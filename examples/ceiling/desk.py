"""Gives whoever asks a cap to the library. It holds one to the treasury, too."""

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

LIBRARY = 300


def init(pd: PD) -> None:
    pass


async def protected(pd: PD, ch: int, message: Message) -> Message:
    return Message(caps=(LIBRARY,))
