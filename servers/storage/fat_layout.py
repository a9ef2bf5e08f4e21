"""Where the parts of a FAT file system lie on a disk: its boot sector (Microsoft's "FAT: General Overview", 1.03).

From the start: reserved sectors, of which the first is the boot sector; one or more copies of the allocation table; on
FAT12 and FAT16 the root directory; then the data, in clusters numbered from 2. How many clusters there are, and nothing
else, says how many bits an entry of the table has. Sectors of 512 bytes only.
"""

import struct
from typing import Final

from attrs import frozen

from capkernel.protocols.block import SECTOR
from capkernel.protocols.failures import Corrupt, NoSpace, Unsupported

_COMMON: Final = struct.Struct("<3s8sHBHBHHBHHHII")
_TAIL: Final = struct.Struct("<BBBI11s8s")
_FAT32: Final = struct.Struct("<IHHIHH12s")
_FAT32_OFFSET: Final = 36
_SIGNATURE: Final = b"\x55\xaa"
FIRST_CLUSTER: Final = 2
FAT12_END, FAT16_END = 4085, 65525
"""Clusters from which a file system is no FAT12, no FAT16 any more."""
_BITS: Final = (12, 16, 32)
SLOT: Final = 32
"""Bytes of an entry in a directory."""
INFO_SECTOR, _INFO_LEAD, _INFO_SIGNATURE = 1, 0x41615252, 0x61417272
_UNKNOWN: Final = 0xFFFF_FFFF
_PLANS: Final = (
    (12, (4, 8), range(1, FAT12_END - 16)),
    (16, (4, 8, 16), range(FAT12_END + 16, FAT16_END - 16)),
    (32, (8, 16, 32, 64), range(FAT16_END + 16, 0xFFF_FFF5)),
)
"""Of new file systems: bits, sectors of a cluster, clusters; not near the limits, where others may guess wrong."""
_MEDIA: Final = 0xF8
_BACKUP: Final = 6
_ROOT_ENTRIES: Final = 512
_VOLUME: Final = 0x4B50_4143


@frozen
class Layout:
    """A file system: ``bits`` of an entry of its table, and how many sectors its parts have.

    ``root_entries`` is 0 on FAT32, whose root directory begins at ``root_cluster``.
    """

    bits: int
    sectors: int
    cluster_sectors: int
    reserved: int
    copies: int
    table_sectors: int
    root_entries: int = 0
    root_cluster: int = 0
    info_sector: int = 0

    @property
    def cluster_bytes(self) -> int:
        """Bytes of a cluster."""
        return self.cluster_sectors * SECTOR

    @property
    def root_start(self) -> int:
        """The first sector of the root directory; on FAT32, of the data."""
        return self.reserved + self.copies * self.table_sectors

    @property
    def root_sectors(self) -> int:
        """Sectors of the root directory, 0 on FAT32."""
        return -(-self.root_entries * SLOT // SECTOR)

    @property
    def data_start(self) -> int:
        """The first sector of the first cluster."""
        return self.root_start + self.root_sectors

    @property
    def clusters(self) -> int:
        """How many clusters there are."""
        return (self.sectors - self.data_start) // self.cluster_sectors

    @property
    def end(self) -> int:
        """The number behind that of the last cluster."""
        return FIRST_CLUSTER + self.clusters

    def sector_of(self, cluster: int) -> int:
        """The first sector of a cluster."""
        return self.data_start + (cluster - FIRST_CLUSTER) * self.cluster_sectors


def read_layout(boot: bytes, disk_sectors: int) -> Layout:
    """What a boot sector says. Raises Corrupt if it cannot be so, Unsupported for what is not known here."""
    if boot[510:512] != _SIGNATURE:
        raise Corrupt("the first sector is no boot sector of FAT")
    fields = _COMMON.unpack_from(boot)
    size, cluster_sectors, reserved, copies, roots, few, _, small_table = fields[2:10]
    if size != SECTOR:
        raise Unsupported(f"sectors have {SECTOR} bytes here, not {size}")
    large_table, flags, version, root_cluster, info_sector, *_ = _FAT32.unpack_from(boot, _FAT32_OFFSET)
    if not small_table and (flags & 0x80 or version):
        raise Unsupported("a FAT32 without copies of its table, or of a later version")
    total, table = few or fields[13], small_table or large_table
    _check(0 < cluster_sectors <= 128 and not cluster_sectors & cluster_sectors - 1, "sectors of a cluster")
    _check(reserved > 0 and copies > 0 and table > 0, "sectors before the data")
    _check(0 < total <= disk_sectors, f"{total} sectors on a disk of {disk_sectors}")
    layout = Layout(0, total, cluster_sectors, reserved, copies, table, roots)
    _check(layout.data_start < total and layout.clusters > 0, "no room for data")
    bits = _BITS[(layout.clusters >= FAT12_END) + (layout.clusters >= FAT16_END)]
    _check((bits == 32) == (not small_table) and (bits == 32) == (not roots), "the kind of FAT")
    _check(table * SECTOR * 8 >= layout.end * bits, "the size of the table")
    if bits == 32:
        _check(FIRST_CLUSTER <= root_cluster < layout.end, "the root directory")
        info_sector = info_sector if 0 < info_sector < reserved else 0
    else:
        root_cluster = info_sector = 0
    return Layout(bits, total, cluster_sectors, reserved, copies, table, roots, root_cluster, info_sector)


def _check(is_so: bool, what: str) -> None:
    if not is_so:
        raise Corrupt(f"the boot sector contradicts itself: {what}")


def plan_layout(sectors: int) -> Layout:
    """A layout for a new file system: the smallest clusters, from 2 KiB on, with which it is no FAT32; else FAT32.

    Raises NoSpace if the disk is too small.
    """
    for bits, sizes, numbers in _PLANS:
        for cluster_sectors in sizes:
            layout = _planned(bits, sectors, cluster_sectors)
            if layout.clusters in numbers:
                return layout
    raise NoSpace(f"a FAT file system does not go on {sectors} sectors")


def _planned(bits: int, sectors: int, cluster_sectors: int) -> Layout:
    """The layout with the smallest table that has an entry for each cluster."""
    roots, reserved = (0, 32) if bits == 32 else (_ROOT_ENTRIES, 1)
    root_cluster, info = (FIRST_CLUSTER, INFO_SECTOR) if bits == 32 else (0, 0)
    layout = Layout(bits, sectors, cluster_sectors, reserved, 2, 1, roots, root_cluster, info)
    while layout.table_sectors * SECTOR * 8 < layout.end * bits:
        needed = -(-layout.end * bits // (SECTOR * 8))
        table = max(layout.table_sectors + 1, (layout.table_sectors + needed) // 2)
        layout = Layout(bits, sectors, cluster_sectors, reserved, 2, table, roots, root_cluster, info)
    return layout


def boot_sectors(layout: Layout) -> dict[int, bytes]:
    """The reserved sectors of a new file system that are not zero, by number."""
    few = layout.sectors if layout.bits != 32 and layout.sectors < 1 << 16 else 0
    many = 0 if few else layout.sectors
    table = 0 if layout.bits == 32 else layout.table_sectors
    boot = _COMMON.pack(
        b"\xeb\xfe\x90", b"capkernl", SECTOR, layout.cluster_sectors, layout.reserved, layout.copies,
        layout.root_entries, few, _MEDIA, table, 32, 64, 0, many,
    )  # fmt: skip
    if layout.bits == 32:
        boot += _FAT32.pack(layout.table_sectors, 0, 0, layout.root_cluster, layout.info_sector, _BACKUP, bytes(12))
    boot += _TAIL.pack(0x80, 0, 0x29, _VOLUME, b"NO NAME    ", f"FAT{layout.bits}   ".encode())
    boot = boot.ljust(510, b"\0") + _SIGNATURE
    if layout.bits != 32:
        return {0: boot}
    info = info_sector()
    return {0: boot, INFO_SECTOR: info, _BACKUP: boot, _BACKUP + 1: info}


def info_sector() -> bytes:
    """The sector in which a FAT32 counts its free clusters: not known, so everybody counts for himself."""
    head = struct.pack("<I", _INFO_LEAD).ljust(484, b"\0")
    return (head + struct.pack("<III", _INFO_SIGNATURE, _UNKNOWN, _UNKNOWN)).ljust(508, b"\0") + b"\0\0" + _SIGNATURE
