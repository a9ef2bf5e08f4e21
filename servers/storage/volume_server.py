"""A file server: a file system on a disk, given out as caps to directories and files.

It maps the transfer region that the disk's driver passes on to the device, and calls the driver. It holds no device.
A client's cap leads to the root, or to the directory that the table ``files`` of ``names`` has for his channel. If
the table ``reserve`` names anybody, room is kept back that only he may use, with the right ``RESERVE``.

With memory that outlives it (``state``) it can be replaced while its clients have files open (``handover``); with a
second disk, also by one for another kind of file system (``homes``).
"""

from contextlib import suppress
from typing import Any, ClassVar, Final

from capkernel.protocols.block import Block
from capkernel.protocols.client import Connection
from capkernel.protocols.failures import AlreadyExists, Corrupt, Failure
from capkernel.protocols.files import ALL_RIGHTS, READ, READ_WRITE, RESERVE, Directory
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.channel_names import ChannelNameError, read_channel_names
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.neighbours import Asks, Role, Uses, neighbour, with_readers
from servers.storage.cache import CachedDisk
from servers.storage.disk import Disk
from servers.storage.fat_volume import FatVolume
from servers.storage.handover import KeptCaps, keep_caps, restore_caps
from servers.storage.homes import FileSystem, Home, LabelledDisk, open_home
from servers.storage.littlefs_volume import LittlefsVolume
from servers.storage.tree import Tree, TreeDirectory
from servers.storage.unreadable import unreadable
from servers.system.complaints import complaints_of
from servers.system.retiring import Handover, decline, retire

ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
DISK, SUPERVISOR, CLIENTS, SECOND_DISK, UPDATE = 0, 1, range(2, 10), 10, 20
"""Channels. Clients from ``FIRST_READER`` on may only read. The first shares ``client``, the first reader ``reader``.
"""
FIRST_READER = 6
HOMES: Final[tuple[type[FileSystem], ...]] = (LittlefsVolume, FatVolume)
"""What is on the first disk and on the second, if there are two."""


def read_reserved(text: str) -> frozenset[int]:
    """Channels of clients who may use what is kept back: the table ``reserve``. Raises ChannelNameError."""
    channels = frozenset(read_channel_names(text, "reserve"))
    if wrong := sorted(channels - set(range(CLIENTS.start, FIRST_READER))):
        raise ChannelNameError(f"reserve: on channel {wrong[0]} is no client who may write")
    return channels


class VolumeServer:
    """The server. A program of it says which ``kind`` of file system it is for.

    Regions that the description does not give it are at 0: shared with the driver, the first client and the first
    reader, the table of names, shared with the second disk's driver, what outlives it.
    """

    kind: ClassVar[type[FileSystem]]
    service_kind: ClassVar[type[Service]] = Service
    uses: ClassVar[Uses] = Uses(
        asks={
            BASE_ENDPOINT_CAP + DISK: Asks(Block, to_change=True),
            BASE_ENDPOINT_CAP + SECOND_DISK: Asks(Block, to_change=True, given="second_transfer"),
        },
        serves=with_readers(Directory, CLIENTS, FIRST_READER),
        signals={SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        needs=frozenset({"transfer"}),
    )
    transfer: int = 0
    transfer_size: int = 0x1_0000
    client_region: int = 0
    client_region_size: int = 0x1_0000
    reader_region: int = 0
    reader_region_size: int = 0x1_0000
    names: int = 0
    names_size: int = 0x1000
    second_transfer: int = 0
    second_transfer_size: int = 0x1_0000
    state: int = 0
    state_size: int = 0x1_0000

    def __init__(self) -> None:
        self.service: Any = None
        self.tree: Any = None
        self.handover: Handover[KeptCaps] | None = None
        self.refusing: Directory | None = None
        """In place of every directory, if what is on the disk cannot be read. The server's next life looks again."""
        self.shares: dict[int, TreeDirectory] = {}
        self.reserved: frozenset[int] = frozenset()
        """Channels of those who may go into what is kept back."""

    async def init(self, pd: PD) -> None:
        """Mount the disk, and serve; or go on where the program before stopped."""
        table = (await pd.read(self.names, self.names_size)).rstrip(b"\0").decode() if self.names else ""
        self.reserved = read_reserved(table)
        try:
            self.tree = Tree(await self._volume(pd))
            await self._share(table)
        except Corrupt as failure:
            self.refusing = unreadable(failure)
        shared = {
            CLIENTS.start: SharedRegion(self.client_region, self.client_region_size),
            FIRST_READER: SharedRegion(self.reader_region, self.reader_region_size),
        }
        regions = {session: region for session, region in shared.items() if region.vaddr}
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.service = self.service_kind(pd, roots=self.root, endpoint=ENDPOINT, inbox=inbox, regions=regions)
        await self.service.open()
        if self.state and self.refusing is None:
            self.handover = Handover(pd, KeptCaps, SharedRegion(self.state, self.state_size), SUPERVISOR, UPDATE)
            await self.handover.go_on(self._take_up)

    async def _volume(self, pd: PD) -> FileSystem:
        transfer = SharedRegion(self.transfer, self.transfer_size)

        def block(channel: int) -> Block:
            return neighbour(Block, pd, Connection(pd.sys), BASE_ENDPOINT_CAP + channel)

        if self.second_transfer:
            second = SharedRegion(self.second_transfer, self.second_transfer_size)
            disks = ((DISK, transfer), (SECOND_DISK, second))
            homes = [
                Home(
                    LabelledDisk(block(channel), region, complain=complaints_of(pd, SUPERVISOR, place)), kind,
                    bool(self.reserved),
                )
                for place, ((channel, region), kind) in enumerate(zip(disks, HOMES, strict=True))
            ]  # fmt: skip
            return await open_home(homes, HOMES.index(self.kind))
        disk = CachedDisk(Disk(block(DISK), transfer, complain=complaints_of(pd, SUPERVISOR, 0)))
        volume = self.kind(disk, keeps_reserve=bool(self.reserved))
        await volume.open()
        return volume

    async def _take_up(self, caps: KeptCaps) -> None:
        """What the program before wrote down."""
        restore_caps(caps, self.tree, self.service)

    def root(self, session: int) -> Interface | None:
        """What a client's own cap leads to."""
        if session not in CLIENTS:
            return None
        if self.refusing is not None:
            return self.refusing
        rights = READ if session >= FIRST_READER else READ_WRITE
        if session in self.reserved:
            rights |= RESERVE
        share = self.shares.get(session)
        directory: Interface = (
            TreeDirectory(self.tree, share.node, rights) if share else self.tree.root_directory(rights)
        )
        return directory

    async def _share(self, table: str) -> None:
        """Find the directories of the clients who get less than everything, or make them."""
        root = self.tree.root_directory(ALL_RIGHTS)
        for channel, name in read_channel_names(table, "files").items():
            with suppress(AlreadyExists):
                await (await root.make_directory(name)).closed()
            self.shares[channel] = await root.directory(name, READ_WRITE)

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life, or another program in this one's place."""
        if ch == UPDATE:
            await self._give_way(pd)
        else:
            await pd.notify(SUPERVISOR)

    async def _give_way(self, pd: PD) -> None:
        """Retire, if all that was written can be made to last, and all caps be written down."""
        try:
            if self.refusing is None:
                await self.tree.volume.close()
        except Failure as problem:
            await decline(pd, problem)
            return
        if self.handover is None:
            await retire(pd, UPDATE)
        await self.handover.give_way(keep_caps(self.service))

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
