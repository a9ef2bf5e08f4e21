"""A desk that does not deserve the trust of its ceiling: it gives away the treasury."""

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

TREASURY = 301


def init(pd: PD) -> None:
    pass


async def protected(pd: PD, ch: int, message: Message) -> Message:
    return Message(caps=(TREASURY,))
