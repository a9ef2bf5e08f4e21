"""The server of the root directory: one tree out of the file systems of other servers."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.files import READ, READ_WRITE, Directory
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.channel_names import read_channel_names
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.storage.mount_table import MountsServant, MountTable

ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
SUPERVISOR, CLIENTS, FIRST_READER = 1, range(2, 10), 6
"""Channels. Clients from ``FIRST_READER`` on may only read."""
BASE, FIRST_MOUNTED = 310, 311
"""Slots of caps to the file system that is the base, and to those that are mounted from the start, one after the other.

They are no channels, since through those no caps could be handed over.
"""
USUAL = {0: "tmp", 1: "bin"}
"""The names of those that are mounted from the start, if the table ``mounts`` of ``names`` does not say others."""
names: int = 0
names_size: int = 0x1000


class Program:
    """The server."""

    def __init__(self) -> None:
        self.service: Any = None
        self.table: Any = None

    async def init(self, pd: PD) -> None:
        """Find the file systems, and serve."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox)
        self.table = MountTable(connect(Directory, connection, BASE))
        mounted = USUAL
        if names:
            text = (await pd.read(names, names_size)).rstrip(b"\0").decode()
            mounted = read_channel_names(text, "mounts")
        for number, name in mounted.items():
            self.table.mounts[name] = connect(Directory, connection, FIRST_MOUNTED + number)
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()

    def _root(self, session: int) -> Interface | None:
        if session not in CLIENTS:
            return None
        return MountsServant(self.table, READ if session >= FIRST_READER else READ_WRITE)

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life."""
        await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
