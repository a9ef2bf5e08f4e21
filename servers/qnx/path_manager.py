"""The path manager: resource managers attach, clients ask who knows a path. It passes caps on, and opens nothing.

Who opens a path asks the resource manager; a cap that is found here is no authority over what is behind it but to ask.
To attach is a right of a few channels (in QNX an ability, ``PROCMGR_AID_PATHSPACE``): whoever attaches before others
is asked before them.
"""

from typing import Any, Final

from capkernel.protocols.failures import NotPermitted
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.qnx_paths import Candidate, PathManager, Place
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.qnx.path_table import PathTable

ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
MANAGERS, CLIENTS = range(2, 10), range(10, 20)
"""Channels: who may attach and ask, who may ask."""
MAX_SESSIONS: Final = 4


class PathServant(PathManager):
    """The table, as one client may use it."""

    def __init__(self, table: PathTable, inbox: Inbox, channel: int) -> None:
        self.table = table
        self.inbox = inbox
        self.channel = channel

    async def attach(self, path: str, resource: Cap, place: Place, is_directory: bool, is_opaque: bool) -> int:
        """Serve a path."""
        try:
            if self.channel not in MANAGERS:
                raise NotPermitted("this client may not attach to paths")
            made = self.table.attach(
                self.channel, path, resource, place, is_directory=is_directory, is_opaque=is_opaque
            )
        except Exception:
            await self.inbox.discard(resource)
            raise
        return made.number

    async def detach(self, number: int) -> None:
        """Serve it no more."""
        await self.inbox.discard(self.table.detach(self.channel, number).cap)

    async def candidates(self, path: str) -> list[Candidate]:
        """Who may know it."""
        return self.table.candidates(path)

    async def resource(self, number: int) -> Cap:
        """A copy of the cap."""
        return Cap(self.table.find(number).cap)


class Program:
    """The server."""

    def __init__(self) -> None:
        self.table = PathTable()
        self.inbox: Any = None
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Nothing is attached."""
        self.inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=self.inbox, limit=MAX_SESSIONS)
        await self.service.open()

    def _root(self, session: int) -> Interface | None:
        known = session in MANAGERS or session in CLIENTS
        return PathServant(self.table, self.inbox, session) if known else None

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
