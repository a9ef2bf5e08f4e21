"""What an attacker tells an accomplice who maps the same memory: which words are to go to and fro.

It stands in the last bytes of the memory, where no request lies: a word with the ``Mode``, one with the number of
swaps, and three words for each swap.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from attrs import frozen

from capkernel.user.messages import SharedRegion

BYTES: Final = 0x400
_HEADER: Final = struct.Struct("<2Q")
_SWAP: Final = struct.Struct("<3Q")
MOST: Final = (BYTES - _HEADER.size) // _SWAP.size
"""Swaps that fit."""


class Mode(IntEnum):
    """What the accomplice does. Memory that nobody wrote to says ``NOISE``."""

    NOISE = 0
    """Words at random, where requests begin."""
    SWAPS = 1
    OVER = 2
    """It is over."""


@frozen
class Swap:
    """A word at an offset that is the one or the other."""

    offset: int
    one: int
    other: int


@frozen
class Aim:
    """All of it."""

    mode: Mode
    swaps: tuple[Swap, ...] = ()

    def encode(self) -> bytes:
        """As it stands in memory. Raises ValueError for more than fits."""
        if len(self.swaps) > MOST:
            raise ValueError(f"there is room for {MOST} swaps, not {len(self.swaps)}")
        parts = [_SWAP.pack(swap.offset, swap.one, swap.other) for swap in self.swaps]
        return b"".join([_HEADER.pack(self.mode, len(self.swaps)), *parts])

    @classmethod
    def decode(cls, data: bytes) -> "Aim":
        """What stands there. Raises ValueError for what is none."""
        mode, count = _HEADER.unpack_from(data)
        if count > MOST:
            raise ValueError(f"there is room for {MOST} swaps, not {count}")
        places = range(_HEADER.size, _HEADER.size + _SWAP.size * count, _SWAP.size)
        return cls(Mode(mode), tuple(Swap(*_SWAP.unpack_from(data, place)) for place in places))


def place_of(region: SharedRegion) -> int:
    """Where it stands."""
    return region.vaddr + region.size - BYTES


def between(one: Sequence[int], other: Sequence[int], offset: int = 0) -> tuple[Swap, ...]:
    """The words in which two requests differ, of which the first lies at an offset. Raises ValueError if one is longer.
    """
    pairs = zip(one, other, strict=True)
    return tuple(Swap(offset + 8 * n, a, b) for n, (a, b) in enumerate(pairs) if a != b)
