"""Tries to put a translator on another user's node, and whatever else might change what others find there."""

from typing import Any

from capkernel.protocols.files import READ, READ_WRITE
from capkernel.protocols.hurd import Ownership
from capkernel.protocols.hurd_auth import Ids
from capkernel.protocols.interface import Cap
from servers.hurd.clients.attacker import Attacker
from servers.hurd.clients.user import OWN_CNODE


class Program(Attacker):
    """The attacker."""

    async def attack(self) -> None:
        """The owner has put a translator on its node."""
        user, notes = self.user, self.user.notes
        home = await user.home(READ)
        theirs: Any = await home.underlying_directory("alice", READ)
        await notes.tried("reads", user.read(theirs, "greeting"))
        await notes.tried("writes", self.write(theirs))
        mine: Any = await home.underlying_directory("mallory", READ_WRITE)
        fake = await user.start(1, mine, "mine", ["hurd_hello", "from", "mallory"])
        await notes.tried("detaches", theirs.detach("greeting"))
        await notes.tried("attaches", theirs.attach("greeting", fake))
        await notes.tried("attaches to a directory", home.attach("alice", fake))
        await notes.tried("sets passive", theirs.set_passive("greeting", ["hurd_hello", "from", "mallory"]))
        await notes.tried("takes it over", theirs.set_ownership("greeting", Ownership(1001, 100, 0o666)))
        await notes.tried("opens to write", home.underlying_directory("alice", READ_WRITE))
        await notes.tried("as more", self.grown(theirs, fake))
        await notes.tried("reads the diary", user.read(theirs, "diary"))
        await notes.tried("own node", self.attach_what(mine, "mine", fake))
        await notes.tried("own node read", user.read(mine, "mine"))
        await self.attach_what(mine, "rubbish", Cap(OWN_CNODE))
        await notes.tried("rubbish read", user.read(mine, "rubbish"))
        await notes.tried("starts as alice", user.starter.start(2, 1000, "greeting", ["hurd_hello"], mine))
        await user.starter.stop(1)

    async def write(self, directory: Any) -> None:
        """Through the translator, with more rights than the node's mode gives."""
        file = await directory.open("greeting", READ_WRITE)
        await file.write(0, b"mine")

    async def grown(self, directory: Any, fake: Any) -> None:
        """With ids that it has not got."""
        await (await directory.restrict_ids(Ids((0, 1000), (0,)))).attach("greeting", fake)

    async def attach_what(self, directory: Any, name: str, cap: Cap) -> None:
        """On a node of its own: a translator, or a cap that is no server's."""
        await (await directory.create(name)).drop()
        await directory.attach(name, cap)
