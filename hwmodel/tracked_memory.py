"""RAM for hosts that have no memfd: an anonymous mapping that notes by itself what is written."""

import mmap
import os
from collections.abc import Iterator

from hwmodel.memory import PAGE_BITS, PAGE_SIZE, Memory


class TrackedMemory(Memory):
    """`Memory` without a descriptor (`fd` is -1).

    A page that was written once counts as touched for good, and clearing fills with zeros instead
    of giving pages back. Whoever stores through `address`, `words` or `views` must announce it with
    `mark_written`, before or after.
    """

    __slots__ = ("_written",)

    def _open_mapping(self) -> mmap.mmap:
        self._written: set[int] = set()
        return mmap.mmap(-1, self.size)

    def _open_own(self) -> int:
        return mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS

    def write_word(self, paddr: int, value: int) -> None:
        super().write_word(paddr, value)
        self._written.add((paddr - self.base) >> PAGE_BITS)

    def write(self, paddr: int, data: bytes) -> None:
        super().write(paddr, data)
        self.mark_written(paddr, len(data))

    def mark_written(self, paddr: int, size: int) -> None:
        """Count the pages of `[paddr, paddr + size)` as touched. Raises `BusError`."""
        offset = self._offset(paddr, size)
        self._written.update(range(offset >> PAGE_BITS, (offset + size - 1 >> PAGE_BITS) + 1))

    def _data_ranges(self) -> Iterator[tuple[int, int]]:
        for number in sorted(self._written):
            yield number * PAGE_SIZE, (number + 1) * PAGE_SIZE

    def _drop(self, start: int, end: int) -> None:
        for number in sorted(self._written):
            if start <= number * PAGE_SIZE < end:
                self._map[number * PAGE_SIZE : (number + 1) * PAGE_SIZE] = bytes(PAGE_SIZE)

    def _is_touched(self, page_start: int) -> bool:
        return page_start >> PAGE_BITS in self._written


def open_memory(base: int, size: int) -> Memory:
    """Return the best RAM that this host offers. Arguments as for `Memory`."""
    return Memory(base, size) if hasattr(os, "memfd_create") else TrackedMemory(base, size)
