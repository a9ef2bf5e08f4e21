"""A supervisor's table in memory that outlives it: whole at any moment, or what it was just before.

There are two places, written in turn: a header (number of the version, size, checksum), then the words. The valid one
with the higher number counts, so a supervisor that dies while it writes leaves the version before.
"""

import struct
import zlib
from typing import Final

from attrs import frozen

from capkernel.protocols.supervision import Event
from capkernel.user.codec import MessageError
from capkernel.user.messages import SharedRegion, from_words, to_words
from capkernel.user.operations import read, write
from servers.system.reincarnation import Service, Table

_HEADER: Final = struct.Struct("<QII")


@frozen
class _Saved:
    services: list[Service]
    events: list[Event]
    beats: int


class TableStore:
    """Where the table is kept: ``region`` as this program maps it."""

    def __init__(self, region: SharedRegion) -> None:
        self.region = region
        self.version = 0

    async def load(self) -> Table | None:
        """The table that was saved last, or None if there is none."""
        newest = max([await self._at(place) for place in range(2)], key=lambda found: found[0])
        self.version = newest[0]
        if newest[1] is None:
            return None
        return Table({service.label: service for service in newest[1].services}, newest[1].events, newest[1].beats)

    async def save(self, table: Table) -> None:
        """Keep the table. Raises ValueError if it does not fit."""
        words = to_words(_Saved(list(table.services.values()), table.events, table.beats))
        data = struct.pack(f"<{len(words)}Q", *words)
        if _HEADER.size + len(data) > self._half:
            raise ValueError(f"the table has {len(data)} bytes, and there is room for {self._half - _HEADER.size}")
        self.version += 1
        place = self.region.vaddr + self.version % 2 * self._half
        await write(place + _HEADER.size, data)
        await write(place, _HEADER.pack(self.version, len(data), zlib.crc32(data)))

    @property
    def _half(self) -> int:
        return self.region.size // 2

    async def _at(self, place: int) -> tuple[int, _Saved | None]:
        """The version in a place, 0 if it is none, and what it says."""
        half = await read(self.region.vaddr + place * self._half, self._half)
        version, size, checksum = _HEADER.unpack_from(half)
        data = half[_HEADER.size : _HEADER.size + size]
        if not version or len(data) != size or size % 8 or zlib.crc32(data) != checksum:
            return 0, None
        try:
            return version, from_words(_Saved, struct.unpack(f"<{size // 8}Q", data))
        except MessageError:
            return 0, None
