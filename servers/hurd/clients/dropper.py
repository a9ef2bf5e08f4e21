"""Opens files, gives ids up, and sees what is left; then hands what is left to somebody who wants more."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.files import READ, READ_WRITE, File
from capkernel.protocols.hurd import NodeFile, Nodes, Ownership
from capkernel.protocols.hurd_auth import Auth, Ids
from capkernel.protocols.interface import Cap
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from servers.hurd.clients.believer import AUTH, END_SLOT, FIRST_SLOT, HANDS, MALLORY, NODES, OWN_CNODE
from servers.hurd.clients.handing import Hands
from servers.hurd.clients.notes import Notes
from servers.hurd.proving import authenticated

NOBODY = Ids()


class Dropper:
    """What it does."""

    def __init__(self, pd: PD, report: int) -> None:
        self.pd = pd
        self.notes = Notes(pd, report)
        self.connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        self.auth = connect(Auth, self.connection, BASE_ENDPOINT_CAP + AUTH)
        self.home: Any = None

    async def run(self, *, is_careless: bool = False) -> None:
        """All of it."""
        root: Any = await authenticated(self.auth, connect(Nodes, self.connection, NODES), self.connection)
        self.home = await (await root.underlying_directory("home", READ)).underlying_directory("alice", READ_WRITE)
        await self.files()
        await self.directories()
        await self.modes()
        await self.revoked()
        less: Any = await self.home.derive() if is_careless else await self.home.restrict_ids(NOBODY)
        await connect(Hands, self.connection, HANDS).take(Cap(less.cap))
        await self.notes.over()
        await self.pd.notify(MALLORY)

    async def uses(self, what: str, file: File) -> None:
        """Read, and write what is there."""
        found = await self.notes.tried(f"{what}: read", file.read(0, 64))
        await self.notes.tried(f"{what}: write", file.write(0, found or b"?"))

    async def files(self) -> None:
        """Files that are open."""
        for name in ("diary", "greeting"):
            mine: NodeFile = await self.home.underlying(name, READ_WRITE)
            less = await mine.restrict_ids(NOBODY)
            await self.uses(f"{name} before", mine)
            await self.uses(f"{name} less", less)
            await less.drop()
            await mine.drop()
        reader: NodeFile = await self.home.underlying("greeting", READ)
        more = await reader.restrict_ids(Ids((1000, 0), (100, 0)))
        await self.uses("greeting asks for more", more)

    async def directories(self) -> None:
        """What is opened through a directory."""
        notes = self.notes
        less: Nodes = await self.home.restrict_ids(NOBODY)
        await notes.note("directory less: ids", (await less.ids()).uids)
        await notes.tried("directory less: diary", less.underlying("diary", READ))
        await notes.tried("directory less: create", less.create("new"))
        await notes.tried("directory less: attach", less.set_passive("greeting", ["hurd_hello"]))
        await notes.tried("directory less: greeting", less.underlying("greeting", READ))
        again = await authenticated(self.auth, less, self.connection)
        await notes.note("proved again: ids", (await again.ids()).uids)
        await notes.tried("proved again: diary", again.underlying("diary", READ))
        await notes.tried("proved again: create", again.create("new"))

    async def modes(self) -> None:
        """A mode that changes while a file is open."""
        notes = self.notes
        opened: NodeFile = await self.home.underlying("diary", READ_WRITE)
        await self.home.set_ownership("diary", Ownership(1000, 100, 0o400))
        await self.uses("open before its mode", opened)
        await notes.tried("opened after", self.home.underlying("diary", READ_WRITE))
        same = await opened.restrict_ids(Ids((1000,), (100,)))
        await self.uses("restricted after", same)
        await self.home.set_ownership("diary", Ownership(1000, 100, 0o600))
        await notes.tried("restricted then", same.write(0, b"?"))

    async def revoked(self) -> None:
        """What comes of a cap ends with it if it is revoked, and does not if it is dropped."""
        kept: NodeFile = await self.home.underlying("greeting", READ_WRITE)
        less = await kept.restrict_ids(NOBODY)
        await kept.drop()
        await self.notes.tried("after drop", less.read(0, 64))
        other: NodeFile = await self.home.underlying("greeting", READ_WRITE)
        below = await other.restrict_ids(NOBODY)
        await other.revoke()
        await self.notes.tried("after revoke", below.read(0, 64))


class Program:
    """The client."""

    report: int = 0
    is_careless = False

    async def init(self, pd: PD) -> None:
        """Do it."""
        await Dropper(pd, self.report).run(is_careless=self.is_careless)
