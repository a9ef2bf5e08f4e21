"""A user of a Hurd-like system: what each of the scenarios' clients has, and how it is found."""

from typing import Any, Final, cast

from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.files import READ, Directory
from capkernel.protocols.hurd import Nodes, TranslatorStarter
from capkernel.protocols.hurd_auth import Auth
from capkernel.protocols.interface import Cap
from capkernel.protocols.memory import Account
from capkernel.protocols.processes import Launcher
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from servers.hurd.clients.notes import Notes
from servers.hurd.proving import after, authenticated

LAUNCHER, ACCOUNT, PROGRAMS, AUTH, OTHER, BEAT, ENDED = 0, 1, 2, 3, 5, 7, 20
"""Channels: to servers, to the other user, from the metronome; by which it hears that a process of its own ended."""
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
NOTIFICATION, NODES, STARTER = 310, 311, 312
"""Caps: to signal ``ENDED``; to the file server and the starter, by which caps can be handed over."""
READ_BYTES: Final = 64


class User:
    """What a user has."""

    def __init__(self, pd: PD, report: int) -> None:
        self.pd = pd
        self.notes = Notes(pd, report)
        self.inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.connection = connection = Connection(pd.sys, self.inbox)
        self.launcher = connect(Launcher, connection, BASE_ENDPOINT_CAP + LAUNCHER)
        self.account = connect(Account, connection, BASE_ENDPOINT_CAP + ACCOUNT)
        self.programs = connect(Directory, connection, BASE_ENDPOINT_CAP + PROGRAMS)
        self.auth = connect(Auth, connection, BASE_ENDPOINT_CAP + AUTH)
        self.starter = connect(TranslatorStarter, connection, STARTER)
        self.nobody = connect(Nodes, connection, NODES)
        self.root: Any = None
        self.uid = 0
        self.is_root_said = False

    async def log_in(self) -> None:
        """Be oneself with the file server."""
        self.uid = (await self.auth.ids()).uids[0]
        self.root = await authenticated(self.auth, self.nobody, self.connection)
        self.is_root_said = False

    async def start(self, place: int, at: Nodes, name: str, command: list[str]) -> Cap:
        """Start a translator of one's own; returns its endpoint. Raises failures."""
        await self._say_root()
        derived: Any = await at.derive()
        try:
            return await self.starter.start(place, self.uid, name, command, derived)
        finally:
            await derived.forget()

    async def _say_root(self) -> None:
        """What its translators see as the root: as nobody, like those that the file server has started."""
        if self.is_root_said:
            return
        root: Any = await cast("Stub", self.nobody).derive()
        await self.starter.root(root)
        await root.forget()
        self.is_root_said = True

    async def home(self, rights: int) -> Nodes:
        """/home."""
        home: Nodes = await self.root.underlying_directory("home", rights)
        return home

    async def read(self, directory: Directory, name: str) -> bytes:
        """What is in a file. Raises failures."""
        file: Any = await directory.open(name, READ)
        content: bytes = await after(file, file.read(0, READ_BYTES))
        return content


class Being:
    """A program that is somebody: it begins by logging in. ``report`` is where it takes notes."""

    report: int = 0

    def __init__(self) -> None:
        self.user: Any = None

    async def init(self, pd: PD) -> None:
        """Be somebody."""
        self.user = User(pd, self.report)
        await self.user.log_in()
