"""A house that says who it is to whoever holds a cap to it."""

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message


def init(pd: PD) -> None:
    pass


async def protected(pd: PD, ch: int, message: Message) -> Message:
    await pd.print(f"{pd.name}: come in\n")
    return Message()
