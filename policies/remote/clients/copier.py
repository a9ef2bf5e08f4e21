"""A server that copies files: it holds nothing, and works with what its clients hand it."""

from typing import Any, Final

from capkernel.protocols.client import Stub
from capkernel.protocols.failures import NotFound
from capkernel.protocols.files import Directory, File
from capkernel.protocols.interface import Interface
from capkernel.protocols.remote_copying import Copier
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 330, 500
SUPERVISOR, CLIENTS = 1, range(2, 6)
PIECE: Final = 512
"""Bytes that are read at a time."""


class CopierServant(Copier):
    """Copies into ``target``."""

    def __init__(self, target: Any) -> None:
        self.target = target

    async def into(self, target: Directory) -> Copier:
        """Another."""
        return CopierServant(target)

    async def copy(self, source: File, name: str) -> int:
        """Copy, piece by piece."""
        if self.target is None:
            raise NotFound("this copier has no directory: ask for one that has")
        made: Any = await self.target.create(name)
        at = 0
        while piece := await source.read(at, PIECE):
            await made.write(at, piece)
            at += len(piece)
        for cap in (made, source):
            if isinstance(cap, Stub):
                await cap.drop()
        return at

    async def closed(self) -> None:
        """Nobody needs it: nor does it need its directory."""
        if isinstance(self.target, Stub):
            await self.target.drop()


class Program:
    """The server."""

    def __init__(self) -> None:
        self.service: Any = None
        self.root = CopierServant(None)

    async def init(self, pd: PD) -> None:
        """Serve."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()

    def _root(self, session: int) -> Interface | None:
        return self.root if session in CLIENTS else None

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life."""
        await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
