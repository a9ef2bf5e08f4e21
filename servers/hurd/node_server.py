"""The file server of nodes, in memory: what is in it ends with it.

Its clients come as nobody, with what others may do; they prove who they are (``proving.authenticated``). It trusts the
auth server at ``AUTH``, and has passive translators started by ``STARTER``.
The table ``nodes`` says what is there from the start (TOML):

    [[node]]
    path = "home/alice"     # directories above it are made, and are root's
    kind = "directory"      # or "file", with content = "…"
    owner = 1000
    group = 100
    mode = 0o644
"""

import tomllib
from typing import Any, ClassVar, Final

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.files import READ, Kind
from capkernel.protocols.hurd import TranslatorStarter
from capkernel.protocols.hurd_auth import Auth
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.hurd.attached import Translators
from servers.hurd.nodes import NodeTree, Viewer
from servers.hurd.records import Record, put_in_place
from servers.storage.ram_volume import RamVolume
from servers.storage.tree import Volume

ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
SUPERVISOR, CLIENTS, STARTERS = 1, range(2, 10), 10
"""Channels: clients; and that by which the starter, and what it starts, calls back."""
AUTH, STARTER = 310, 311
"""Slots of caps to servers that this one calls, since through channels no caps could be handed over."""
AUTH_CHANNEL, STARTER_CHANNEL = 20, 21
"""Channels to the same; if the description has none there is no such server."""
LIMIT: Final = 1 << 20
"""Bytes of all files together."""


class NodeServer:
    """The server. ``checks`` says whether owners and modes count."""

    checks: ClassVar[bool] = True
    translators: ClassVar[type[Translators]] = Translators
    nodes: int = 0
    nodes_size: int = 0x1000

    def __init__(self) -> None:
        self.service: Any = None
        self.tree: Any = None

    async def volume(self, pd: PD) -> Volume:
        """Where the nodes are."""
        return RamVolume(LIMIT)

    async def init(self, pd: PD) -> None:
        """Make what is to be there, and serve."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox)
        translators = self.translators(
            inbox, session=STARTERS,
            auth=connect(Auth, connection, AUTH) if pd.values.pps >> AUTH_CHANNEL & 1 else None,
            starter=connect(TranslatorStarter, connection, STARTER) if pd.values.pps >> STARTER_CHANNEL & 1 else None,
        )  # fmt: skip
        self.tree = NodeTree(await self.volume(pd), translators, checks=self.checks)
        if self.nodes:
            await make_nodes(self.tree, (await pd.read(self.nodes, self.nodes_size)).rstrip(b"\0").decode())
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()
        await translators.serve(self.tree, self.service)

    def _root(self, session: int) -> Interface | None:
        if session not in CLIENTS and session != STARTERS:
            return None
        root: Interface = self.tree.directory_for(Viewer(session), READ)
        return root

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life."""
        await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)


class Program(NodeServer):
    """The server as a program."""


async def make_nodes(tree: NodeTree, text: str) -> None:
    """Make what is not there yet. Raises ValueError if the table says what cannot be."""
    try:
        for row in tomllib.loads(text).get("node", []):
            await _make(tree, row["path"], Kind(row["kind"]), row.get("content", "").encode(), Record(
                row["owner"], row["group"], row["mode"], tuple(row.get("command", "").split()),
            ))  # fmt: skip
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError, Failure) as error:
        raise ValueError(f"each node says path, kind, owner, group and mode: {error!r}") from None


async def _make(tree: NodeTree, path: str, kind: Kind, content: bytes, record: Record) -> None:
    above, _, name = path.rpartition("/")
    if await tree.volume.info(path) is not None:
        return
    for end in range(1, len(above.split("/")) + 1) if above else ():
        directory = "/".join(above.split("/")[:end])
        if await tree.volume.info(directory) is None:
            await tree.volume.create(directory, Kind.DIRECTORY)
    await tree.records.keep(above, name, record)
    if kind is Kind.FILE:
        await put_in_place(tree.volume, above, name, content)
    else:
        await tree.volume.create(path, kind)
