"""In the place of an attacker: it holds what he would hold, and does nothing."""

from typing import Final

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.attackers.ledger import Ledger

report: int = 0
region: int = 0
region_size: int = 0x1_0000

BEGIN: Final = 0
"""The channel of who would let an attacker begin."""


class Program:
    """The program."""

    async def init(self, pd: PD) -> None:
        """Nothing is to be prepared."""

    async def protected(self, pd: PD, ch: int, msg: Message) -> None:
        """Whatever it is given, it does nothing with it."""

    async def notified(self, pd: PD, ch: int) -> None:
        """An attack that is over as soon as it begins."""
        if ch == BEGIN:
            await Ledger(pd, report).close()
