"""What a disk is made of: media of sectors of 512 bytes, numbered from 0.

A `RamDisk` is a part of the machine's snapshots. What was written to a `FileDisk` stays written, and a restored machine
finds the file as it is then.
"""

import os
from typing import BinaryIO, Protocol

from hwmodel.stateful import Saved, Stateful

SECTOR = 512
_PAGE_SECTORS = 8
_PAGE = _PAGE_SECTORS * SECTOR


class BlockBacking(Protocol):
    """A medium. What is written survives a cut of the power. Any method may raise OSError: the medium failed."""

    @property
    def sectors(self) -> int:
        """How many sectors there are."""
        ...

    def read(self, sector: int, count: int) -> bytes:
        """Return `count` sectors; all of them exist."""
        ...

    def write(self, sector: int, data: bytes) -> None:
        """Store whole sectors; all of them exist."""
        ...

    def flush(self) -> None:
        """Make what was written durable outside of the machine too."""
        ...

    def snapshot(self) -> Saved:
        """Save what can be saved."""
        ...

    def restore(self, saved: Saved) -> None:
        """Restore what can be restored."""
        ...


class RamDisk(Stateful):
    """`size` bytes, a multiple of 512, that begin with `image` and are zero beyond; only what is not zero costs."""

    __slots__ = ("_pages", "sectors")
    STATE = ("_pages",)

    def __init__(self, size: int, image: bytes = b"") -> None:
        if size <= 0 or size % SECTOR:
            raise ValueError(f"a disk is whole sectors of {SECTOR} bytes, one at least, not {size} bytes")
        if len(image) > size:
            raise ValueError(f"{len(image)} bytes do not fit on a disk of {size}")
        self.sectors = size // SECTOR
        self._pages: dict[int, bytes] = {}
        self.write(0, image + bytes(-len(image) % SECTOR))

    def read(self, sector: int, count: int) -> bytes:
        """Return `count` sectors."""
        start, end = sector * SECTOR, (sector + count) * SECTOR
        first = start // _PAGE
        pages = (self._pages.get(page) or bytes(_PAGE) for page in range(first, -(-end // _PAGE)))
        return b"".join(pages)[start - first * _PAGE : end - first * _PAGE]

    def write(self, sector: int, data: bytes) -> None:
        """Store whole sectors."""
        start, end = sector * SECTOR, sector * SECTOR + len(data)
        for page in range(start // _PAGE, -(-end // _PAGE)):
            low, high = max(start, page * _PAGE), min(end, (page + 1) * _PAGE)
            old = self._pages.get(page) or bytes(_PAGE)
            new = old[: low - page * _PAGE] + data[low - start : high - start] + old[high - page * _PAGE :]
            if any(new):
                self._pages[page] = new
            else:
                self._pages.pop(page, None)

    def flush(self) -> None:
        """Nothing to do."""

    def contents(self) -> bytes:
        """Return all of it."""
        return self.read(0, self.sectors)


class FileDisk(Stateful):
    """A host's file that the caller has opened, unbuffered or not, for reading and perhaps for writing.

    Its size counts as it is now, and is whole sectors (ValueError). `flush` flushes the file, and the host's cache too.
    """

    __slots__ = ("_file", "sectors")

    def __init__(self, file: BinaryIO) -> None:
        size = file.seek(0, os.SEEK_END)
        if not size or size % SECTOR:
            raise ValueError(f"a disk is whole sectors of {SECTOR} bytes, one at least; the file has {size} bytes")
        self._file = file
        self.sectors = size // SECTOR

    def read(self, sector: int, count: int) -> bytes:
        """Read `count` sectors. Raises OSError, also if the file has become too short."""
        self._file.seek(sector * SECTOR)
        data = self._file.read(count * SECTOR)
        if len(data) != count * SECTOR:
            raise OSError(f"the file ends before sector {sector + count}")
        return data

    def write(self, sector: int, data: bytes) -> None:
        """Store whole sectors. Raises OSError."""
        self._file.seek(sector * SECTOR)
        self._file.write(data)

    def flush(self) -> None:
        """Hand everything to the host's medium. Raises OSError."""
        self._file.flush()
        os.fsync(self._file.fileno())
