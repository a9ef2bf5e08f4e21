"""Room on a littlefs: it is asked for before littlefs is, for a littlefs that ran out of it is no use any more.

An operation that fails in its middle for want of a block leaves littlefs in a state that nobody can rely on, and what
others have not synced is lost with it. So an operation is begun only if there is room for the most that it may need,
for the most that files need that were changed and not synced, and for what directories may need besides. One for which
there is not is refused, and nothing has happened.

Blocks in use are those that are reached on the disk, which takes a walk through everything, and those that files have
taken since they were synced. After a walk each block that littlefs takes is counted, though it may have given others
back, and there is a new walk only when that count leaves no room.

Some blocks can be kept back for who has a right to them (``RESERVE``), as other file systems keep blocks back for one
user: for all others the disk is full that much earlier. What is never refused must not use them up little by little; so
a change after which there is no room for what its file's sync may take is synced at once.
"""

from collections import Counter
from typing import Final

from attrs import frozen

from capkernel.protocols.failures import Corrupt

BLOCK: Final = 4096
_POINTERS: Final = 96
"""Bytes of a block, at most, by which a file's block points to others."""
PAIR: Final = 2
"""Blocks that a directory is in, and those that it takes when it is split since an entry was made or became larger."""
_SPLIT: Final = BLOCK // 4
"""Bytes by which the entries of a directory grow, at least, between two splits."""
_ENTRY: Final = 64
"""Bytes by which a file's entry grows, at most, if the content is not in it."""
_INLINE: Final = BLOCK // 8
"""Bytes of a content that may be in the entry."""
_RESERVE: Final = 3 * PAIR
"""Blocks for the directory that is changed next, for the one above, and for what must always be possible: a removal."""
RESERVE_BYTES: Final = 8 * BLOCK
"""What a file system keeps back, if it is to: it holds the largest record that says that records are missing, the head
of that trail, and a new pair of blocks for the directory of both.
"""
SMALLEST_BYTES: Final = 24 * BLOCK
"""A smaller file system cannot keep it back."""


def check_reserve(size: int) -> None:
    """Raises Corrupt unless a file system of so many bytes can keep a reserve."""
    if size < SMALLEST_BYTES:
        raise Corrupt(f"a file system that keeps a reserve has {SMALLEST_BYTES} bytes at least, not {size}")


def blocks_of(size: int) -> int:
    """The most blocks that so many bytes of a file, wherever they begin, are in."""
    return -(-size // (BLOCK - _POINTERS)) + 1 if size > 0 else 0


class Room:
    """Counts the blocks of a volume that has so many, of which some are kept back."""

    def __init__(self, blocks: int, reserve: int = 0) -> None:
        self.blocks = blocks
        self.reserve = reserve
        self.is_counted = False
        """Whether nothing has changed since the blocks on the disk were counted."""
        self.used = blocks
        """At most. Before they are counted it may be all."""
        self._held = Counter[str]()
        self._owed: dict[str, _Owed] = {}

    def count(self, on_disk: int) -> None:
        """So many blocks are reached on the disk."""
        self.used, self.is_counted = on_disk + self._held.total(), True

    def taken(self) -> None:
        """littlefs takes a block."""
        self.used += 1

    def changed(self) -> None:
        """Something is written, or given back."""
        self.is_counted = False

    def hold(self, path: str, taken: int, size: int) -> None:
        """A file took so many blocks when it was changed; it has at most two contents that are not on the disk yet."""
        self._held[path] = min(self._held[path] + taken, 2 * blocks_of(size))

    def owe(self, path: str, end: int, size: int) -> None:
        """A file of that size was changed up to ``end``. A sync copies what is behind that, and its entry grows."""
        self._owed[path] = _Owed(end, blocks_of(size - end), _ENTRY + (size if size <= _INLINE else 0))

    def settled(self, path: str) -> None:
        """A file's content is on the disk, or is gone."""
        self._held.pop(path, None)
        self._owed.pop(path, None)

    def has(self, blocks: int, path: str = "", start: int = -1, *, into_reserve: bool = False) -> bool:
        """Whether there is room for so many more; a file that is changed on from where it was has not to copy yet."""
        return blocks <= self.free(path, start) + (self.reserve if into_reserve else 0)

    def free(self, path: str = "", start: int = -1) -> int:
        """Blocks for whoever may not go into the reserve; less than none if something is in there."""
        own = self._owed.get(path)
        copies = sum(owed.copy for owed in self._owed.values()) - (own.copy if own and own.end == start else 0)
        growth = sum(owed.entry for owed in self._owed.values())
        directories = len({each.rpartition("/")[0] for each in self._owed})
        claimed = copies + PAIR * (directories + growth // _SPLIT) + _RESERVE + self.reserve
        return self.blocks - self.used - claimed

    @property
    def available(self) -> int:
        """Bytes by which one file may grow at once, for whoever may not go into the reserve."""
        return max(0, (self.free() - 1) * (BLOCK - _POINTERS))


@frozen
class _Owed:
    """What a file's sync will take: blocks of what is copied, bytes of its entry. It was changed up to ``end``."""

    end: int
    copy: int
    entry: int
