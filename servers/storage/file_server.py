"""The file server: a littlefs on a disk, given out as caps to directories and files.

It maps the transfer region that the disk's driver passes on to the device, and calls the driver. It holds no device.
A client's cap leads to the root, or to the directory that the table ``files`` of ``names`` has for his channel.
"""

from contextlib import suppress
from typing import Any

from capkernel.protocols.block import Block
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import AlreadyExists
from capkernel.protocols.files import READ, READ_WRITE
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.channels import read_channel_names
from servers.storage.cache import CachedDisk
from servers.storage.disk import Disk
from servers.storage.littlefs_volume import LittlefsVolume
from servers.storage.tree import Tree, TreeDirectory

transfer: int = 0
transfer_size: int = 0x1_0000
client_region: int = 0
client_region_size: int = 0x1_0000
reader_region: int = 0
reader_region_size: int = 0x1_0000
names: int = 0
names_size: int = 0x1000

ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
DISK, SUPERVISOR, CLIENTS = 0, 1, range(2, 10)
"""Channels. Clients from ``FIRST_READER`` on may only read. The first shares ``client_region``, the first reader
``reader_region``.
"""
FIRST_READER = 6


class Program:
    """The server."""

    def __init__(self) -> None:
        self.service: Any = None
        self.tree: Any = None
        self.shares: dict[int, TreeDirectory] = {}

    async def init(self, pd: PD) -> None:
        """Mount the disk, and serve."""
        block = connect(Block, Connection(pd.sys), BASE_ENDPOINT_CAP + DISK)
        volume = LittlefsVolume(CachedDisk(Disk(block, SharedRegion(transfer, transfer_size))))
        await volume.open()
        self.tree = Tree(volume)
        if names:
            await self._share((await pd.read(names, names_size)).rstrip(b"\0").decode())
        regions = {CLIENTS.start: SharedRegion(client_region, client_region_size)} if client_region else {}
        if reader_region:
            regions[FIRST_READER] = SharedRegion(reader_region, reader_region_size)
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=inbox, regions=regions)
        await self.service.open()

    def _root(self, session: int) -> Interface | None:
        if session not in CLIENTS:
            return None
        rights = READ if session >= FIRST_READER else READ_WRITE
        share = self.shares.get(session)
        directory: Interface = (
            TreeDirectory(self.tree, share.node, rights) if share else self.tree.root_directory(rights)
        )
        return directory

    async def _share(self, table: str) -> None:
        """Find the directories of the clients who get less than everything, or make them."""
        root = self.tree.root_directory()
        for channel, name in read_channel_names(table, "files").items():
            with suppress(AlreadyExists):
                await (await root.make_directory(name)).closed()
            self.shares[channel] = await root.directory(name, READ_WRITE)

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life."""
        await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
