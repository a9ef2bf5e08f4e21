"""Looks through others' directories as it would through its own: by itself, without limits, until it has an answer."""

from typing import Any

from capkernel.protocols.files import READ
from capkernel.user.loop import PD
from servers.hurd.clients.user import OTHER, Being
from servers.hurd.walk import Limits, Walk

TARGETS = ("mute",)


class Program(Being):
    """The client. ``targets`` are looked through one after the other."""

    targets = TARGETS

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
