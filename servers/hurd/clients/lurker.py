"""Has its own translator started by others' look-ups, in the hope that it may do what they may."""

from contextlib import suppress
from typing import Any

from capkernel.protocols.failures import AlreadyExists
from capkernel.protocols.files import READ, READ_WRITE
from servers.hurd.clients.attacker import Attacker


class Program(Attacker):
    """The attacker."""

    async def attack(self) -> None:
        """What is kept with others' nodes; and a translator of its own."""
        notes, home = self.user.notes, await self.user.home(READ)
        mine: Any = await home.underlying_directory("mallory", READ_WRITE)
        theirs: Any = await home.underlying_directory("alice", READ)
        await notes.tried("sets passive", theirs.set_passive("greeting", ["hurd_peek"]))
        await notes.tried("removes passive", theirs.set_passive("greeting", []))
        await notes.tried("writes the table", theirs.open(".nodes", READ_WRITE))
        with suppress(AlreadyExists):
            await (await mine.create("peek")).drop()
        await notes.tried("own", mine.set_passive("peek", ["hurd_peek"]))
