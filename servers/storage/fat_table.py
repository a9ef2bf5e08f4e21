"""The allocation table of a FAT file system: which cluster comes after which, and which are free.

The table is kept in memory and changed there; ``changed`` are its sectors that are not on the disk yet. A cluster can
be *taken* before it has an entry: it is then nobody else's, and a loss of power makes it free again.
"""

from collections.abc import Iterable
from itertools import chain, pairwise
from typing import Final

from capkernel.protocols.block import SECTOR
from capkernel.protocols.failures import Corrupt, NoSpace
from servers.storage.fat_layout import FIRST_CLUSTER, Layout

_FREE: Final = 0
_MASKS: Final = {12: 0xFFF, 16: 0xFFFF, 32: 0xFFF_FFFF}


class AllocationTable:
    """The table, in ``data``, its bytes on the disk."""

    def __init__(self, layout: Layout, data: bytes) -> None:
        self.layout = layout
        self.data = bytearray(data)
        self.changed: set[int] = set()
        self.taken: set[int] = set()
        self.mask = _MASKS[layout.bits]
        self.free = sum(self[cluster] == _FREE for cluster in range(FIRST_CLUSTER, layout.end))
        """Clusters that are free and not taken."""
        self.reserve = 0
        """Those of them that are kept back."""
        self._next = FIRST_CLUSTER

    @classmethod
    def blank(cls, layout: Layout) -> "AllocationTable":
        """The table of a new file system; a FAT32's root directory has its cluster."""
        table = cls(layout, bytes(layout.table_sectors * SECTOR))
        table._store(0, table.mask & ~0xFF | 0xF8)
        table._store(1, table.mask)
        if layout.root_cluster:
            table[layout.root_cluster] = table.mask
        table.changed = set(range(layout.table_sectors))
        return table

    def __getitem__(self, cluster: int) -> int:
        """The entry of a cluster: the next one, 0 if it is free, or a number beyond them all."""
        bits = self.layout.bits
        if bits == 12:
            pair = int.from_bytes(self.data[cluster * 3 // 2 : cluster * 3 // 2 + 2], "little")
            return pair >> 4 if cluster & 1 else pair & 0xFFF
        size = bits // 8
        return int.from_bytes(self.data[cluster * size : cluster * size + size], "little") & self.mask

    def __setitem__(self, cluster: int, value: int) -> None:
        """Give a cluster another entry."""
        was_free = self[cluster] == _FREE and cluster not in self.taken
        self.taken.discard(cluster)
        self._store(cluster, value)
        self.free += (value == _FREE) - was_free

    def _store(self, cluster: int, value: int) -> None:
        bits = self.layout.bits
        start, size = (cluster * 3 // 2, 2) if bits == 12 else (cluster * bits // 8, bits // 8)
        old = int.from_bytes(self.data[start : start + size], "little")
        if bits == 12:
            value = value << 4 | old & 0xF if cluster & 1 else old & 0xF000 | value
        elif bits == 32:
            value |= old & ~self.mask
        self.data[start : start + size] = value.to_bytes(size, "little")
        self.changed |= {start // SECTOR, (start + size - 1) // SECTOR}

    def is_cluster(self, number: int) -> bool:
        """Whether there is such a cluster."""
        return FIRST_CLUSTER <= number < self.layout.end

    def chain(self, first: int, count: int | None = None) -> list[int]:
        """A cluster and those behind it, ``count`` of them, or all. Raises Corrupt.

        Of a file only those are looked at that its size asks for: the entry of the last one may be anything.
        """
        found: list[int] = []
        seen: set[int] = set()
        cluster = first
        while len(found) != count:
            if not self.is_cluster(cluster):
                raise Corrupt(f"a chain of clusters from {first} on leads to {cluster}")
            if cluster in seen:
                raise Corrupt(f"a chain of clusters from {first} on leads back to {cluster}")
            found.append(cluster)
            seen.add(cluster)
            cluster = self[cluster]
            if count is None and cluster >= self.mask & ~7:
                break
        return found

    def chain_of(self, first: int, size: int) -> list[int]:
        """The clusters of a file of ``size`` bytes. Raises Corrupt."""
        return self.chain(first, -(-size // self.layout.cluster_bytes))

    def need(self, count: int, *, into_reserve: bool = False) -> None:
        """Raises NoSpace unless so many clusters are free, and not kept back unless one may go into the reserve."""
        free = self.free - (0 if into_reserve else self.reserve)
        if count > max(0, free):
            raise NoSpace(f"{max(0, free)} clusters are free, and {count} are needed")

    def take(self) -> int:
        """A free cluster, which is not free from now on. Raises NoSpace."""
        self.need(1, into_reserve=True)
        for cluster in chain(range(self._next, self.layout.end), range(FIRST_CLUSTER, self._next)):
            if self[cluster] == _FREE and cluster not in self.taken:
                self.taken.add(cluster)
                self.free -= 1
                self._next = cluster + 1
                return cluster
        raise NoSpace("no cluster is free")

    def give_back(self, clusters: Iterable[int]) -> None:
        """Clusters that were taken, and have no entry yet."""
        for cluster in clusters:
            if cluster in self.taken:
                self.taken.discard(cluster)
                self.free += 1

    def link(self, clusters: list[int]) -> None:
        """Make them a chain that ends with the last; none are none."""
        for cluster, following in pairwise([*clusters, self.mask]):
            if self[cluster] != following:
                self[cluster] = following

    def release(self, clusters: Iterable[int]) -> None:
        """Make them free."""
        for cluster in clusters:
            if self[cluster] != _FREE:
                self[cluster] = _FREE
