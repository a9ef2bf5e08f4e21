"""Looks through others' directories as it would through its own: by itself, without limits, until it has an answer."""

from typing import Any

from capkernel.protocols.files import READ
from capkernel.user.loop import PD
from servers.hurd.clients.user import OTHER, User
from servers.hurd.walk import Limits, Walk

TARGETS = ("mute",)


class Program:
    """The client. ``targets`` are looked through one after the other."""

    report: int = 0
    targets = TARGETS

    def __init__(self) -> None:
        self.user: Any = None

    async def init(self, pd: PD) -> None:
        """Be somebody."""
        self.user = User(pd, self.report)
        await self.user.log_in()

    async def notified(self, pd: PD, ch: int) -> None:
        """The traps are set."""
        if ch != OTHER:
            return
        theirs: Any = await (await self.user.home(READ)).underlying_directory("mallory", READ)
        for name in self.targets:
            await self.user.notes.note("begins", name)
            await Walk(Limits(nodes=1 << 30, depth=12)).look(await theirs.directory(name, READ))
            await self.user.notes.note("ends", name)
        await self.user.notes.over()
