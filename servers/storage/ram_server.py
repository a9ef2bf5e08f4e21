"""The RAM file server: files that end with it, for whoever needs a place for a while.

With memory that outlives it (``state``) it can be replaced while its clients have files open: what is in the files is
handed over, too (``ram_handover``). If that is more than there is room for, it goes on, and the update is refused.
"""

from typing import Any, ClassVar

from capkernel.protocols.files import READ, READ_WRITE, Directory
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.neighbours import Role, Uses, with_readers
from servers.storage.ram_handover import KeptFiles, keep_files, restore_files
from servers.storage.ram_volume import RamVolume
from servers.storage.tree import Tree, Volume
from servers.system.retiring import Handover, decline

ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
SUPERVISOR, CLIENTS, FIRST_READER, UPDATE = 1, range(2, 10), 6, 20
"""Channels. Clients from ``FIRST_READER`` on may only read."""
LIMIT = 1 << 20
"""Bytes of all files together."""


class Program:
    """The server. A program of it says in what ``kind`` of volume its files are."""

    kind: ClassVar[type[RamVolume]] = RamVolume
    uses: ClassVar[Uses] = Uses(
        serves=with_readers(Directory, CLIENTS, FIRST_READER),
        signals={SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
    )
    state: int = 0
    state_size: int = 0x1_0000

    def __init__(self) -> None:
        self.service: Any = None
        self.handover: Any = None
        volume: Volume = self.kind(LIMIT)
        self.tree = Tree(volume)

    async def init(self, pd: PD) -> None:
        """Serve; or go on where the program before stopped."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.service = Service(pd, roots=self.root, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()
        if self.state:
            region = SharedRegion(self.state, self.state_size)
            self.handover = Handover(pd, KeptFiles, region, SUPERVISOR, UPDATE)
            if await self.handover.go_on(lambda kept: restore_files(kept, self.tree, self.service)):
                return
        await self._fill(pd)

    async def _fill(self, pd: PD) -> None:
        """What is there at the beginning: nothing."""

    def root(self, session: int) -> Interface | None:
        """What a client's own cap leads to."""
        if session not in CLIENTS:
            return None
        return self.tree.root_directory(READ if session >= FIRST_READER else READ_WRITE)

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life, or another program in this one's place."""
        if ch == UPDATE:
            await self._give_way(pd)
        else:
            await pd.notify(SUPERVISOR)

    async def _give_way(self, pd: PD) -> None:
        if self.handover is None:
            await decline(pd, "there is no memory that outlives the files")
        else:
            await self.handover.give_way(await keep_files(self.tree.volume, self.service))

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
