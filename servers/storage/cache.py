"""Sectors of a disk that were read or written lately, kept in memory. Writes go through to the disk at once."""

from typing import Final

from capkernel.protocols.block import SECTOR
from servers.storage.disk import Disk

LIMIT: Final = 1024
"""Sectors that are kept."""


class CachedDisk:
    """A disk; what is kept is what the disk was told last, or said last."""

    def __init__(self, disk: Disk, limit: int = LIMIT) -> None:
        self.disk = disk
        self.limit = limit
        self._kept: dict[int, bytes] = {}

    async def open(self) -> None:
        """Begin with nothing kept: this may be another disk. Raises DeviceError."""
        self._kept.clear()
        await self.disk.open()

    @property
    def sectors(self) -> int:
        """How many there are."""
        return self.disk.sectors

    @property
    def is_read_only(self) -> bool:
        """Whether it cannot be written."""
        return self.disk.is_read_only

    async def read(self, sector: int, count: int) -> bytes:
        """The content of sectors. Raises DeviceError."""
        wanted = range(sector, sector + count)
        if not all(each in self._kept for each in wanted):
            self._keep(sector, await self.disk.read(sector, count))
        data = b"".join(self._kept[each] for each in wanted)
        self._shrink()
        return data

    async def write(self, sector: int, data: bytes) -> None:
        """Whole sectors. Raises DeviceError; then nobody knows what they contain, and they are asked for again."""
        for each in range(sector, sector + len(data) // SECTOR):
            self._kept.pop(each, None)
        await self.disk.write(sector, data)
        self._keep(sector, data)
        self._shrink()

    async def flush(self) -> None:
        """Make what was written last. Raises DeviceError."""
        await self.disk.flush()

    def _keep(self, sector: int, data: bytes) -> None:
        for index in range(len(data) // SECTOR):
            self._kept.pop(sector + index, None)
            self._kept[sector + index] = data[index * SECTOR : (index + 1) * SECTOR]

    def _shrink(self) -> None:
        """Forget those that were kept first."""
        while len(self._kept) > self.limit:
            del self._kept[next(iter(self._kept))]
