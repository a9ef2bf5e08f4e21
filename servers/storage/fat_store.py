"""The parts of a FAT file system on a disk: sectors and clusters, the copies of its table, its directories.

What is written here is not durable before ``flush``. A directory is changed sector by sector so that after a loss of
power at any moment each of its names leads to what it led to before, or to what it is to lead to.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from capkernel.protocols.block import SECTOR
from capkernel.protocols.failures import Corrupt, NoSpace
from servers.storage.cache import CachedDisk
from servers.storage.fat_layout import SLOT, Layout, boot_sectors, info_sector, plan_layout, read_layout
from servers.storage.fat_names import DELETED, END, Entry, Named, is_same, patched, read_directory, slots_of
from servers.storage.fat_table import AllocationTable

_IN_SECTOR: Final = SECTOR // SLOT
_MAX_SLOTS: Final = 1 << 16
_ZEROED: Final = 128
"""Sectors that are made zero by one request."""
_UNFINISHED: Final = b"capkernel: being formatted".ljust(SECTOR, b"\0")
"""The first sector of a disk that is being formatted."""
_LOOKED_AT: Final = 16
"""Sectors that are zero if a disk is blank."""


class FatStore:
    """A file system on a disk."""

    def __init__(self, disk: CachedDisk, layout: Layout, table: AllocationTable) -> None:
        self.disk = disk
        self.layout = layout
        self.table = table
        self.copies_differ = False

    @classmethod
    async def read(cls, disk: CachedDisk) -> "FatStore":
        """What is on a disk. Raises Corrupt, Unsupported, DeviceError."""
        layout = read_layout(await disk.read(0, 1), disk.sectors)
        copies = [
            await disk.read(layout.reserved + copy * layout.table_sectors, layout.table_sectors)
            for copy in range(layout.copies)
        ]
        store = cls(disk, layout, AllocationTable(layout, copies[0]))
        store.copies_differ = any(copy != copies[0] for copy in copies)
        return store

    @staticmethod
    async def is_blank(disk: CachedDisk) -> bool:
        """Whether there is nothing on a disk, or no more than a file system that was being made."""
        start = await disk.read(0, min(_LOOKED_AT, disk.sectors))
        return not any(start) or start[:SECTOR] == _UNFINISHED

    @classmethod
    async def format(cls, disk: CachedDisk) -> "FatStore":
        """A new file system; its boot sector comes last. Raises NoSpace, DeviceError."""
        layout = plan_layout(disk.sectors)
        store = cls(disk, layout, AllocationTable.blank(layout))
        await disk.write(0, _UNFINISHED)
        await disk.flush()
        end = layout.data_start + (layout.cluster_sectors if layout.root_cluster else 0)
        for first in range(1, end, _ZEROED):
            await disk.write(first, bytes(min(_ZEROED, end - first) * SECTOR))
        await store.write_table()
        for sector, data in sorted(boot_sectors(layout).items(), reverse=True):
            if not sector:
                await disk.flush()
            await disk.write(sector, data)
        await disk.flush()
        return store

    async def forget_count(self) -> None:
        """Do not let others believe in a FAT32's count of free clusters, which is not kept here."""
        sector = self.layout.info_sector
        if sector and await self.disk.read(sector, 1) != info_sector():
            await self.disk.write(sector, info_sector())

    async def write_table(self) -> None:
        """Write what changed in the table, first into the copy that is read, then into the others."""
        changed, self.table.changed = sorted(self.table.changed), set()
        for copy in range(self.layout.copies):
            start = self.layout.reserved + copy * self.layout.table_sectors
            for first, count in _runs(changed):
                data = self.table.data[first * SECTOR : (first + count) * SECTOR]
                await self.disk.write(start + first, bytes(data))

    async def flush(self) -> None:
        """Make what was written last. Raises DeviceError."""
        await self.disk.flush()

    def sectors_of(self, clusters: Iterable[int]) -> list[int]:
        """The sectors of clusters."""
        count = self.layout.cluster_sectors
        starts = (self.layout.sector_of(cluster) for cluster in clusters)
        return [sector for start in starts for sector in range(start, start + count)]

    async def read_sectors(self, sectors: Iterable[int]) -> bytes:
        """Their content, neighbours by one request."""
        return b"".join([await self.disk.read(first, count) for first, count in _runs(sectors)])

    async def write_sectors(self, sectors: Iterable[int], data: bytes) -> None:
        """Give them content, neighbours by one request."""
        position = 0
        for first, count in _runs(sectors):
            await self.disk.write(first, data[position : position + count * SECTOR])
            position += count * SECTOR


def _runs(sectors: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and number of each run of neighbours, in the order given."""
    first = count = 0
    for sector in sectors:
        if count and sector == first + count:
            count += 1
            continue
        if count:
            yield first, count
        first, count = sector, 1
    if count:
        yield first, count


class FatDirectory:
    """A directory; ``first`` is its first cluster, or 0 for the root."""

    def __init__(self, store: FatStore, first: int) -> None:
        self.store = store
        self.first = first
        self.clusters: list[int] = []
        self.data = bytearray()
        self.entries: list[Named] = []

    async def read(self) -> "FatDirectory":
        """Read it. Raises Corrupt, DeviceError."""
        layout = self.store.layout
        first = self.first or layout.root_cluster
        self.clusters = self.store.table.chain(first) if first else []
        if len(self.clusters) * layout.cluster_bytes > _MAX_SLOTS * SLOT:
            raise Corrupt(f"the directory at cluster {first} has too many entries")
        self.data = bytearray(await self.store.read_sectors(self.sectors))
        self._parse()
        return self

    @property
    def sectors(self) -> list[int]:
        """Where it lies."""
        layout = self.store.layout
        if not self.clusters:
            return list(range(layout.root_start, layout.root_start + layout.root_sectors))
        return self.store.sectors_of(self.clusters)

    def _parse(self) -> None:
        self.entries = read_directory(bytes(self.data), self.store.layout.bits)

    def find(self, name: str) -> Named | None:
        """What has just this name."""
        return next((each for each in self.entries if each.name == name), None)

    def like(self, name: str) -> Named | None:
        """What has this name, but for capitals."""
        return next((each for each in self.entries if is_same(each.name, name)), None)

    async def add(self, name: str, entry: Entry) -> None:
        """Give something a name. Raises Malformed, NoSpace."""
        _, slots = slots_of(name, entry, {each.entry.short for each in self.entries})
        start = await self._room(len(slots))
        behind = (start + len(slots)) * SLOT
        ends_here = any(self.data[at * SLOT] == END for at in range(start, start + len(slots)))
        if ends_here and behind < len(self.data) and self.data[behind] != END:
            # From now on it ends behind the new entry, whatever was there.
            await self._put(start + len(slots), [bytes(SLOT)])
        await self._put(start, slots)
        self._parse()

    async def remove(self, named: Named) -> None:
        """Take a name away; its entry first, then the pieces of its long name."""
        for slot in reversed(range(named.start, named.end)):
            self.data[slot * SLOT] = DELETED
        for sector in reversed(range(named.start // _IN_SECTOR, (named.end - 1) // _IN_SECTOR + 1)):
            await self._write(sector)
        self._parse()

    async def lead(self, named: Named, first: int, size: int, moves: int | None = None) -> None:
        """Let a name lead somewhere else, in one step."""
        slot = named.end - 1
        raw = bytes(self.data[slot * SLOT : named.end * SLOT])
        await self._put(slot, [patched(raw, first, size, named.entry.moves if moves is None else moves)])
        self._parse()

    async def set_parent(self, first: int) -> None:
        """Say in what it lies: a cluster, or 0 for the root."""
        raw = bytes(self.data[SLOT : 2 * SLOT])
        if raw[:11] == b"..".ljust(11) and (new := patched(raw, first, 0, raw[13])) != raw:
            await self._put(1, [new])

    async def _room(self, count: int) -> int:
        """So many free slots in a row. Raises NoSpace."""
        free = 0
        ended = False
        for slot in range(len(self.data) // SLOT):
            ended = ended or self.data[slot * SLOT] == END
            free = free + 1 if ended or self.data[slot * SLOT] == DELETED else 0
            if free == count:
                return slot + 1 - count
        start = len(self.data) // SLOT - free
        while len(self.data) // SLOT - start < count:
            await self._grow()
        return start

    async def _grow(self) -> None:
        """Add a cluster, which is empty before it belongs to the directory."""
        layout, table = self.store.layout, self.store.table
        if not self.clusters or len(self.data) + layout.cluster_bytes > _MAX_SLOTS * SLOT:
            raise NoSpace("the directory is full")
        cluster = table.take()
        await self.store.write_sectors(self.store.sectors_of([cluster]), bytes(layout.cluster_bytes))
        await self.store.flush()
        table.link([self.clusters[-1], cluster])
        await self.store.write_table()
        await self.store.flush()
        self.clusters.append(cluster)
        self.data.extend(bytes(layout.cluster_bytes))

    async def _put(self, start: int, slots: list[bytes]) -> None:
        """Write neighbouring slots, the sector with the last one last."""
        for slot, data in enumerate(slots, start):
            self.data[slot * SLOT : (slot + 1) * SLOT] = data
        for sector in range(start // _IN_SECTOR, (start + len(slots) - 1) // _IN_SECTOR + 1):
            await self._write(sector)

    async def _write(self, sector: int) -> None:
        """Write one of its sectors, so that those after it come later on the disk, too."""
        await self.store.disk.write(self.sectors[sector], bytes(self.data[sector * SECTOR : (sector + 1) * SECTOR]))
        await self.store.flush()
