"""The server of the root directory: one tree out of the file systems of other servers.

With memory and slots that outlive it (``state``, ``HELD_CNODE``) it can be replaced while clients use the tree
(``mount_handover``): everything stays mounted, and caps to the root go on leading there.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

from capkernel.protocols.client import Connection
from capkernel.protocols.files import READ, READ_WRITE, Directory
from capkernel.protocols.interface import Interface
from capkernel.protocols.mounts import Mounts
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.channel_names import read_channel_names
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.neighbours import Asks, ByTable, Role, Uses, neighbour, with_readers
from servers.storage.mount_handover import KeptMounts, keep_mounts, restore_mounts
from servers.storage.mount_table import MountsServant, MountTable
from servers.system.lasting_slots import LastingSlots
from servers.system.retiring import Handover, decline

ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
HELD_CNODE, HELD_SLOTS, HELD_ADDRESS = 302, range(1, 1 << 8), 1 << 58
"""The granted CNode that lasts: the cap to it, its slots, and the cap address of slot 0."""
SUPERVISOR, CLIENTS, FIRST_READER, UPDATE = 1, range(2, 10), 6, 20
"""Channels. Clients from ``FIRST_READER`` on may only read."""
BASE, FIRST_MOUNTED = 310, 311
"""Slots of caps to the file system that is the base, and to those that are mounted from the start, one after the other.

They are no channels, since through those no caps could be handed over.
"""
USUAL = {0: "tmp", 1: "bin"}
"""The names of those that are mounted from the start, if the table ``mounts`` of ``names`` does not say others."""
names: int = 0
names_size: int = 0x1000
state: int = 0
state_size: int = 0x1000
"""Memory that outlives the server; who gives it that gives it slots that last, too."""


def asked(mounted: Iterable[int]) -> dict[int, Asks]:
    """What the server asks, with these mounted from the start. The base may be one that can only be read."""
    return {BASE: Asks(Directory)} | {FIRST_MOUNTED + n: Asks(Directory) for n in mounted}


class Program:
    """The server."""

    uses: ClassVar[Uses] = Uses(
        asks=ByTable("names", lambda text: asked(read_channel_names(text, "mounts")), asked(USUAL)),
        serves=with_readers(Mounts, CLIENTS, FIRST_READER),
        signals={SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
    )

    def __init__(self) -> None:
        self.service: Any = None
        self.table: Any = None
        self.handover: Any = None
        self.first: dict[int, Directory] = {}
        """What is mounted from the start, by number."""

    async def init(self, pd: PD) -> None:
        """Find the file systems, and serve; or go on where the program before stopped."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox)
        lasting = LastingSlots(pd.sys, HELD_CNODE, HELD_ADDRESS, HELD_SLOTS) if state else None
        self.table = MountTable(neighbour(Directory, pd, connection, BASE), lasting)
        mounted = USUAL
        if names:
            text = (await pd.read(names, names_size)).rstrip(b"\0").decode()
            mounted = read_channel_names(text, "mounts")
        self.first = {number: neighbour(Directory, pd, connection, FIRST_MOUNTED + number) for number in mounted}
        self.table.mounts = {name: self.first[number] for number, name in mounted.items()}
        self.service = Service(pd, roots=self.root, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()
        if state:
            self.handover = Handover(pd, KeptMounts, SharedRegion(state, state_size), SUPERVISOR, UPDATE)
            await self.handover.go_on(
                lambda kept: restore_mounts(kept, self.table, self.first, connection, self.service)
            )

    def root(self, session: int) -> Interface | None:
        """What a client's own cap leads to."""
        if session not in CLIENTS:
            return None
        return MountsServant(self.table, READ if session >= FIRST_READER else READ_WRITE)

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life, or another program in this one's place."""
        if ch == UPDATE:
            await self._give_way(pd)
        else:
            await pd.notify(SUPERVISOR)

    async def _give_way(self, pd: PD) -> None:
        if self.handover is None:
            await decline(pd, "there is no memory that outlives what is mounted")
        else:
            await self.handover.give_way(keep_mounts(self.table, self.first, self.service))

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
