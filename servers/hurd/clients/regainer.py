"""Is handed a directory that somebody else has given ids up for, and wants them back."""

from typing import Any

from capkernel.protocols.client import connect
from capkernel.protocols.files import READ, READ_WRITE
from capkernel.protocols.hurd import Nodes, Ownership
from capkernel.protocols.hurd_auth import Ids
from capkernel.protocols.interface import Cap
from capkernel.user.loop import PD
from servers.hurd.clients import relay
from servers.hurd.proving import authenticated

ALICE = Ids((1000, 0), (100, 0))


class Program(relay.Program):
    """The attacker."""

    report: int = 0

    async def take(self, cap: Cap) -> None:
        """Try."""
        notes, given = self.notes, connect(Nodes, self.connection, cap)
        await notes.note("ids", (await given.ids()).uids)
        await notes.tried("reads the diary", self.read(given, "diary"))
        await notes.tried("reads the greeting", self.read(given, "greeting"))
        await notes.tried("opens to write", given.open("greeting", READ_WRITE))
        more: Any = await given.restrict_ids(ALICE)
        await notes.note("asks for more", (await more.ids()).uids)
        await notes.tried("then reads", self.read(more, "diary"))
        await notes.tried("restricts to more", given.restrict(READ_WRITE))
        await notes.tried("changes the mode", given.set_ownership("diary", Ownership(1000, 100, 0o666)))
        await notes.tried("makes it its own", given.set_ownership("diary", Ownership(1001, 100, 0o600)))
        own = await authenticated(self.auth, given, self.connection)
        await notes.note("proves itself", (await own.ids()).uids)
        await notes.tried("then reads as itself", self.read(own, "diary"))

    async def read(self, directory: Nodes, name: str) -> bytes:
        """A file. Raises failures."""
        content: bytes = await (await directory.open(name, READ)).read(0, 64)
        return content

    async def notified(self, pd: PD, ch: int) -> None:
        """It is over."""
        await self.notes.over()
