"""Bytes in memory that outlives its program: whole at any moment, or what they were just before.

There are two places, written in turn: a header (number of the version, size, checksum), then the bytes. The valid one
with the higher number counts, so a program that dies while it writes leaves the version before.
"""

import struct
import zlib
from typing import Final, Generic, TypeVar

from capkernel.user.codec import MessageError
from capkernel.user.messages import SharedRegion, from_words, to_words
from capkernel.user.operations import read, write

T = TypeVar("T")
_HEADER: Final = struct.Struct("<QII")


def _checksum(version: int, data: bytes) -> int:
    """Of the header, too: half of one in memory that was never used would else stand for no bytes at all."""
    return zlib.crc32(data, zlib.crc32(struct.pack("<QI", version, len(data))))


class Kept:
    """The bytes in a ``region`` as this program maps it."""

    def __init__(self, region: SharedRegion) -> None:
        self.region = region
        self.version = 0

    async def load(self) -> bytes | None:
        """What was saved last, or None if nothing was."""
        newest = max([await self._at(place) for place in range(2)], key=lambda found: found[0])
        self.version = newest[0]
        return newest[1]

    async def save(self, data: bytes) -> None:
        """Keep this instead. Raises ValueError if it does not fit."""
        if len(data) > self.room:
            raise ValueError(f"there are {len(data)} bytes, and there is room for {self.room}")
        self.version += 1
        place = self.region.vaddr + self.version % 2 * self._half
        await write(place + _HEADER.size, data)
        await write(place, _HEADER.pack(self.version, len(data), _checksum(self.version, data)))

    @property
    def room(self) -> int:
        """How many bytes can be kept."""
        return self._half - _HEADER.size

    @property
    def _half(self) -> int:
        return self.region.size // 2

    async def _at(self, place: int) -> tuple[int, bytes | None]:
        """The version in a place, 0 if it is none, and its bytes."""
        start = self.region.vaddr + place * self._half
        version, size, checksum = _HEADER.unpack(await read(start, _HEADER.size))
        if not version or size > self._half - _HEADER.size:
            return 0, None
        data = await read(start + _HEADER.size, size)
        return (version, data) if _checksum(version, data) == checksum else (0, None)


class KeptValue(Generic[T]):
    """A value of an attrs class in a ``region`` as this program maps it."""

    def __init__(self, kind: type[T], region: SharedRegion) -> None:
        self.kind = kind
        self._kept = Kept(region)

    async def load(self) -> T | None:
        """What was saved last, or None if nothing was, it was forgotten, or it cannot be read."""
        data = await self._kept.load()
        if not data or len(data) % 8:
            return None
        try:
            return from_words(self.kind, struct.unpack(f"<{len(data) // 8}Q", data))
        except MessageError:
            return None

    async def save(self, value: T) -> None:
        """Keep this instead. Raises ValueError if it does not fit."""
        words = to_words(value)
        await self._kept.save(struct.pack(f"<{len(words)}Q", *words))

    async def forget(self) -> None:
        """Keep nothing."""
        await self._kept.save(b"")
