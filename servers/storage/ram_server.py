"""The RAM file server: files that end with it, for whoever needs a place for a while."""

from typing import Any

from capkernel.protocols.files import READ, READ_WRITE
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.storage.ram_volume import RamVolume
from servers.storage.tree import Tree

ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
SUPERVISOR, CLIENTS, FIRST_READER = 1, range(2, 10), 6
"""Channels. Clients from ``FIRST_READER`` on may only read."""
LIMIT = 1 << 20
"""Bytes of all files together."""


class Program:
    """The server."""

    def __init__(self) -> None:
        self.service: Any = None
        self.tree = Tree(RamVolume(LIMIT))

    async def init(self, pd: PD) -> None:
        """Serve."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()

    def _root(self, session: int) -> Interface | None:
        if session not in CLIENTS:
            return None
        return self.tree.root_directory(READ if session >= FIRST_READER else READ_WRITE)

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life."""
        await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
