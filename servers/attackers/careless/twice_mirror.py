"""A mirror that does not keep what it is to write: it takes that out of its client's memory, once for each disk.

The checksum is of what stood there first. If that changes then, no disk has what the checksum is of.
"""

from typing import Any

from capkernel.protocols.block import Block
from capkernel.protocols.interface import Interface
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import read
from servers.storage import mirror_server
from servers.storage.disk import Disk
from servers.storage.mirror_server import MirrorServant


class Source:
    """Where in a client's memory what is being written comes from."""

    def __init__(self) -> None:
        self.vaddr = 0
        self.data = b""

    async def now(self, data: bytes) -> bytes:
        """What stands now where these bytes were; the bytes, if they are none of the client's."""
        place = self.data.find(data)
        return await read(self.vaddr + place, len(data)) if place >= 0 else data


class StraightDisk(Disk):
    """A disk that is written out of the client's memory."""

    def __init__(self, disk: Disk, source: Source) -> None:
        super().__init__(disk.block, disk.region, driver_tries=disk.driver_tries, complain=disk.complain)
        self.name, self.sectors, self.is_read_only = disk.name, disk.sectors, disk.is_read_only
        self.source = source

    async def write(self, sector: int, data: bytes) -> None:
        """Whole sectors."""
        await super().write(sector, await self.source.now(data))


class StraightServant(MirrorServant):
    """The mirror as clients see it, which says where what they write is."""

    source: Source

    async def write(self, sector: int, count: int, offset: int) -> None:
        """Sectors out of the transfer region."""
        self.source.vaddr = self.vaddr + offset
        self.source.data = await read(self.source.vaddr, self.checked(sector, count, offset))
        await self.notes.writing(sector, count)
        await self.mirror.write(sector, self.source.data)
        await self.notes.writing(sector, 0)
        self.source.data = b""


class Program(mirror_server.Program):
    """The server."""

    def __init__(self) -> None:
        super().__init__()
        self.source = Source()

    async def init(self, pd: PD) -> None:
        """Open both disks, and serve."""
        await super().init(pd)
        for copy in self.mirror.copies:
            copy.disk = StraightDisk(copy.disk, self.source)

    def _root(self, session: int) -> Interface | None:
        found: Any = super()._root(session)
        if not isinstance(found, MirrorServant) or found.is_read_only:
            return found if isinstance(found, Block) else None
        servant = StraightServant(self.mirror, self.notes, SharedRegion(self.transfer, self.transfer_size), False)
        servant.source = self.source
        return servant
