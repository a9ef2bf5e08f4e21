"""Where the files are, if they can be on one of several disks, each with a file system of its own kind.

Each disk has a label in its last sector with a number; the files are on the one with the highest (of equal ones, the
first). A server of another kind brings them: it copies all to its own disk, makes that last, and then writes a label
with the next number, in one sector. Before that the old disk counts, which nobody changes meanwhile; so a loss of power
at any moment leaves one disk that counts, and all that was synced is there.
"""

import struct
import zlib
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from capkernel.protocols.block import SECTOR
from capkernel.protocols.failures import Corrupt
from capkernel.protocols.files import Kind
from servers.storage.cache import CachedDisk
from servers.storage.disk import Disk
from servers.storage.fat_volume import FatVolume
from servers.storage.littlefs_volume import LittlefsVolume
from servers.storage.tree import Volume

_LABEL: Final = struct.Struct("<8sQI")
_MAGIC: Final = b"capkhome"
RESERVED: Final = 8
"""Sectors at the end of a disk that are not the file system's; the last one has the label."""
_CLEARED: Final = 16
"""Sectors at its start that are zero on a disk without a file system."""
PIECE: Final = 1 << 15
"""Bytes that are copied at a time."""
FileSystem = LittlefsVolume | FatVolume


class LabelledDisk(Disk):
    """A disk whose last sectors are kept for its label."""

    async def open(self) -> None:
        """Ask what the disk is. Raises DeviceError, Corrupt if it is too small."""
        await super().open()
        if self.sectors <= RESERVED + _CLEARED:
            raise Corrupt(f"a disk of {self.sectors} sectors has no room for a label")
        self.sectors -= RESERVED

    @property
    def _place(self) -> int:
        return self.sectors + RESERVED - 1

    async def label(self) -> int:
        """The number on the label, 0 if there is none. Raises DeviceError."""
        magic, number, checksum = _LABEL.unpack_from(await self.read(self._place, 1))
        is_label = magic == _MAGIC and checksum == _checksum(number)
        return number if is_label else 0

    async def set_label(self, number: int) -> None:
        """Write another label, and make it last, with all that was written before. Raises DeviceError."""
        await self.flush()
        await self.write(self._place, _LABEL.pack(_MAGIC, number, _checksum(number)).ljust(SECTOR, b"\0"))
        await self.flush()

    async def clear(self) -> None:
        """Let there be no file system any more. Raises DeviceError."""
        await self.set_label(0)
        await self.write(0, bytes(_CLEARED * SECTOR))
        await self.flush()


def _checksum(number: int) -> int:
    return zlib.crc32(_MAGIC + number.to_bytes(8, "little"))


@frozen
class Home:
    """A disk, and the kind of file system that is on it if the files are there."""

    disk: LabelledDisk
    kind: type[FileSystem]
    keeps_reserve: bool = False

    async def volume(self) -> FileSystem:
        """The file system; a blank disk gets one."""
        found = self.kind(CachedDisk(self.disk), keeps_reserve=self.keeps_reserve)
        await found.open()
        return found


async def open_home(homes: Sequence[Home], own: int) -> FileSystem:
    """The file system with all the files, of our own kind on our own disk: if they are elsewhere they are brought.

    Raises a failure if that cannot be; then they are where they were.
    """
    labels = []
    for home in homes:
        await home.disk.open()
        labels.append(await home.disk.label())
    newest = labels.index(max(labels))
    if newest == own:
        return await homes[own].volume()
    source = await homes[newest].volume()
    await homes[own].disk.clear()
    target = await homes[own].volume()
    await copy_all(source, target)
    await target.close()
    await homes[own].disk.set_label(max(labels) + 1)
    return target


async def copy_all(source: Volume, target: Volume, path: str = "") -> None:
    """Copy what is in a directory, and below. Raises a failure, such as NoSpace, or Malformed for an unfit name."""
    for entry in await source.list(path):
        below = f"{path}/{entry.name}" if path else entry.name
        await target.create(below, entry.kind)
        if entry.kind is Kind.DIRECTORY:
            await copy_all(source, target, below)
            continue
        for offset in range(0, entry.size, PIECE):
            await target.write(below, offset, await source.read(below, offset, PIECE))
        await source.release(below)
        await target.release(below)
