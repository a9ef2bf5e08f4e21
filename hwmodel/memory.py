"""Physical RAM: one contiguous mapping of which only the touched pages cost host memory.

The mapping is shared memory behind a descriptor, so an emulator (through `address`) or another
process (through `fd`) works on the same bytes. The pages in use are found by asking the host which
parts of the file hold data; so stores that this class never saw are found as well.

All addresses are absolute physical addresses and all sizes are in bytes. Words are 64 bits, little
endian (RISC-V unprivileged spec, section 1.4).
"""

import ctypes
import errno
import hashlib
import mmap
import os
import sys
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PAGE_SIZE = 4096
PAGE_BITS = 12
DEFAULT_MAP_NORESERVE = 0x4000
"""The value on every Linux; the `mmap` module has a name for it since Python 3.13 only."""

MAP_FIXED = 0x10
"""The value on every Linux."""

_ZERO_PAGE = bytes(PAGE_SIZE)


class BusError(Exception):
    """An access to a physical address at which nothing answers, or not in this size or alignment.

    Attributes: `address`, the physical address; `reason`, for people.
    """

    def __init__(self, address: int, reason: str) -> None:
        super().__init__(f"physical address {address:#x}: {reason}")
        self.address = address
        self.reason = reason


@dataclass(frozen=True, slots=True)
class MemorySnapshot:
    """The contents of a RAM: its pages that are not all zero, by page number from the base."""

    base: int
    size: int
    pages: dict[int, bytes]


class Memory:
    """RAM at the physical addresses `base` to `base + size`, all zero at first.

    `base` and `size` are multiples of 4096. `words` is the RAM as 64-bit words and `views` maps an
    access size (1, 2, 4 or 8 bytes) to the RAM as units of that size: the way in for code that has
    checked the offset already. `fd` is the descriptor of the shared memory and `address` the host
    address of the first byte. Needs a little-endian host.
    """

    __slots__ = (
        "__weakref__", "_map", "_recent", "address", "base", "fd", "size", "views", "words",
    )  # fmt: skip

    def __init__(self, base: int, size: int) -> None:
        if size <= 0 or (base | size) % PAGE_SIZE:
            raise ValueError(f"base {base:#x} and size {size:#x} must be whole pages, size not 0")
        if sys.byteorder != "little":
            raise RuntimeError("the RAM model needs a little-endian host")
        self.base = base
        self.size = size
        self.fd = -1
        self._map = self._open_mapping()
        view = memoryview(self._map)
        self.views = {1: view, 2: view.cast("H"), 4: view.cast("I"), 8: view.cast("Q")}
        self.words = self.views[8]
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self._recent: dict[int, bytes] = {}

    def _open_mapping(self) -> mmap.mmap:
        """Create the shared memory and map it. Huge pages would commit 2 MiB for a single store."""
        flags = self._open_own()
        mapping = mmap.mmap(self.fd, self.size, flags=flags)
        mapping.madvise(mmap.MADV_NOHUGEPAGE)
        return mapping

    def separate(self) -> None:
        """In a forked process: have the content for itself, at the same host address. Raises OSError."""
        content = list(self._numbered_pages())
        flags = self._open_own()
        map_again = ctypes.CDLL(None, use_errno=True).mmap
        map_again.restype = ctypes.c_void_p
        map_again.argtypes = (
            ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64,
        )  # fmt: skip
        access = mmap.PROT_READ | mmap.PROT_WRITE
        if map_again(self.address, self.size, access, flags | MAP_FIXED, self.fd, 0) != self.address:
            raise OSError(ctypes.get_errno(), "the memory cannot be mapped again")
        self._map.madvise(mmap.MADV_NOHUGEPAGE)
        for number, page in content:
            self._map[number * PAGE_SIZE : (number + 1) * PAGE_SIZE] = page

    def _open_own(self) -> int:
        """Open other memory than that which is mapped; the flags with which to map it."""
        self.fd = os.memfd_create("ram", os.MFD_CLOEXEC)
        weakref.finalize(self, os.close, self.fd)
        os.ftruncate(self.fd, self.size)
        return mmap.MAP_SHARED | getattr(mmap, "MAP_NORESERVE", DEFAULT_MAP_NORESERVE)

    # Access

    def contains(self, paddr: int, size: int = 1) -> bool:
        """Say whether all of `[paddr, paddr + size)` is RAM."""
        offset = paddr - self.base
        return offset >= 0 and size >= 0 and offset + size <= self.size

    def read_word(self, paddr: int) -> int:
        """Return the aligned 64-bit word at `paddr`. Raises `BusError`."""
        offset = paddr - self.base
        if offset & 7 or offset < 0:
            raise self._bad_word(paddr)
        try:
            return self.words[offset >> 3]
        except IndexError:
            raise self._bad_word(paddr) from None

    def write_word(self, paddr: int, value: int) -> None:
        """Store a 64-bit word at the aligned address `paddr`. Raises `BusError`."""
        offset = paddr - self.base
        if offset & 7 or offset < 0:
            raise self._bad_word(paddr)
        try:
            self.words[offset >> 3] = value
        except IndexError:
            raise self._bad_word(paddr) from None

    def read(self, paddr: int, size: int) -> bytes:
        """Return `size` bytes from `paddr`, at any alignment. Raises `BusError`."""
        offset = self._offset(paddr, size)
        return self._map[offset : offset + size]

    def write(self, paddr: int, data: bytes) -> None:
        """Store `data` at `paddr`, at any alignment. Raises `BusError` and then stores nothing."""
        offset = self._offset(paddr, len(data))
        self._map[offset : offset + len(data)] = data

    def clear(self, paddr: int, size: int) -> None:
        """Make a range zero. Its whole pages go back to the host; untouched ones cost nothing.

        Raises `BusError`.
        """
        start = self._offset(paddr, size)
        end = start + size
        first_page = -(-start // PAGE_SIZE) * PAGE_SIZE
        last_page = end // PAGE_SIZE * PAGE_SIZE
        if first_page > last_page:
            self._clear_part(start, end)
            return
        self._clear_part(start, first_page)
        self._drop(first_page, last_page)
        self._clear_part(last_page, end)

    def mark_written(self, paddr: int, size: int) -> None:
        """Be told of stores made past this class. Nothing to do here: the host knows them."""

    # Contents as a whole

    def snapshot(self) -> MemorySnapshot:
        """Save the contents. Costs time for the touched pages; unchanged pages share their bytes
        with the snapshot that was taken or restored last.
        """
        recent = self._recent
        pages: dict[int, bytes] = {}
        for number, content in self._numbered_pages():
            known = recent.get(number)
            pages[number] = known if known == content else content
        self._recent = pages
        return MemorySnapshot(self.base, self.size, pages)

    def restore(self, saved: MemorySnapshot) -> None:
        """Go back to the saved contents; pages touched since are cleared.

        Snapshots can be restored in any order and any number of times. Raises ValueError if the
        snapshot is of a RAM with another base or size.
        """
        if (saved.base, saved.size) != (self.base, self.size):
            raise ValueError("the snapshot is of a RAM with another base or size")
        wanted = saved.pages
        present = set(self._touched_pages())
        self._drop_pages(sorted(present - wanted.keys()))
        mapping = self._map
        for number, content in wanted.items():
            start = number * PAGE_SIZE
            if number not in present or mapping[start : start + PAGE_SIZE] != content:
                self.mark_written(self.base + start, PAGE_SIZE)
                mapping[start : start + PAGE_SIZE] = content
        self._recent = wanted

    def nonzero_pages(self) -> Iterator[tuple[int, bytes]]:
        """Yield (physical address, 4096 bytes) for each page that is not all zero, ascending."""
        for number, content in self._numbered_pages():
            yield self.base + number * PAGE_SIZE, content

    def content_digest(self) -> bytes:
        """Return the SHA-256 of base, size and the pages that are not all zero.

        RAMs with equal contents have equal digests, whichever of their zero pages were touched.
        """
        digest = hashlib.sha256(f"{self.base:x}+{self.size:x}".encode())
        for number, content in self._numbered_pages():
            digest.update(number.to_bytes(8, "little"))
            digest.update(content)
        return digest.digest()

    # What the host knows

    def _data_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the offset ranges that the host holds data for: every page that was ever touched
        and not cleared since (also by a read through the mapping), at page granularity.
        """
        end = 0
        while end < self.size:
            try:
                start = os.lseek(self.fd, end, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # No data from here to the end.
                    return
                raise
            end = os.lseek(self.fd, start, os.SEEK_HOLE)
            yield start, end

    def _touched_pages(self) -> Iterator[int]:
        for start, end in self._data_ranges():
            yield from range(start // PAGE_SIZE, end // PAGE_SIZE)

    def _numbered_pages(self) -> Iterator[tuple[int, bytes]]:
        """Yield (page number, contents) of the pages that are not all zero, ascending."""
        mapping = self._map
        for number in self._touched_pages():
            content = mapping[number * PAGE_SIZE : (number + 1) * PAGE_SIZE]
            if content != _ZERO_PAGE:
                yield number, content

    def _drop(self, start: int, end: int) -> None:
        """Give the whole pages of an offset range back to the host; they read as zero again."""
        if start < end:
            self._map.madvise(mmap.MADV_REMOVE, start, end - start)

    def _drop_pages(self, numbers: Iterable[int]) -> None:
        """Drop pages given by ascending number, with one request for each run of neighbours."""
        start = end = 0
        for number in numbers:
            if number != end:
                self._drop(start * PAGE_SIZE, end * PAGE_SIZE)
                start = number
            end = number + 1
        self._drop(start * PAGE_SIZE, end * PAGE_SIZE)

    def _clear_part(self, start: int, end: int) -> None:
        """Zero a part of one page, unless the host holds nothing for that page."""
        if start < end and self._is_touched(start // PAGE_SIZE * PAGE_SIZE):
            self._map[start:end] = bytes(end - start)

    def _is_touched(self, page_start: int) -> bool:
        # (To ask for the next data instead would have the host search a hole, which may be all of the RAM.)
        return os.lseek(self.fd, page_start, os.SEEK_HOLE) != page_start

    # Errors

    def _offset(self, paddr: int, size: int) -> int:
        offset = paddr - self.base
        if offset < 0 or not 0 <= size <= self.size - offset:
            raise BusError(paddr, f"{size} bytes are not all in RAM")
        return offset

    def _bad_word(self, paddr: int) -> BusError:
        if paddr & 7:
            return BusError(paddr, "a word access must be 8-byte aligned")
        return BusError(paddr, "not RAM")
