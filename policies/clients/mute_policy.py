"""A policy server that gives signs of life and never answers: whoever asks it waits."""

from capkernel.user.loop import ANSWERED, PD
from capkernel.user.syscalls import Message

rules: int = 0
ledger: int = 0
SUPERVISOR = 1


class Program:
    """The server."""

    async def init(self, pd: PD) -> None:
        """There is nothing to be done."""

    async def notified(self, pd: PD, ch: int) -> None:
        """It lives."""
        await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> object:
        """It says nothing."""
        return ANSWERED
