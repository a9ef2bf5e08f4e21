"""What a mirror writes on each of its disks besides labels: groups of sectors with their versions.

The first sectors are for labels (``capkernel.protocols.mirror_label``). Then come groups: two places for a table,
then two places for each of ``MEMBERS`` sectors, first all the first ones, then all the second ones. The table says of
every place which version of the sector is in it: its number, and a checksum of its content. A version that is durable
is never overwritten before the next one is: a change goes to the other place, of the sector and of the table.
"""

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from attrs import frozen

from capkernel.protocols.block import SECTOR
from capkernel.protocols.mirror_label import ENDLESS, IDENTITY, PLACES, TABLE_MAGIC, is_sealed, sealed

MEMBERS: Final = 16
"""Sectors in a group."""
SPAN: Final = PLACES * (1 + MEMBERS)
"""Sectors of the disk that a group takes."""
FIRST: Final = 8
"""Sectors before the first group."""
_HEAD: Final = struct.Struct("<8s8sQQ")
_NUMBER: Final = 6
_CHECKSUM: Final = 8
_VERSION: Final = _NUMBER + _CHECKSUM


@frozen
class Version:
    """Which content of a sector is meant. Number 0: it was never written, and is zero."""

    number: int
    checksum: bytes

    def is_of(self, sector: int, data: bytes) -> bool:
        """Whether this is that content."""
        return not any(data) if self.number == 0 else self.checksum == checksum_of(sector, data)


NEVER: Final = Version(0, bytes(_CHECKSUM))
ZEROES: Final = bytes(SECTOR)


def checksum_of(sector: int, data: bytes) -> bytes:
    """Of a sector's content, and of where it belongs."""
    return blake2b(data, digest_size=_CHECKSUM, salt=sector.to_bytes(8, "little")).digest()


@frozen
class Table:
    """What is in each of a group's places: of every member, by place. ``number`` counts a group's tables."""

    number: int
    versions: tuple[tuple[Version, ...], ...]

    def pack(self, identity: bytes, group: int) -> bytes:
        """A sector."""
        head = _HEAD.pack(TABLE_MAGIC, identity[:8], group, self.number)
        places = (version for place in self.versions for version in place)
        return sealed(head + b"".join(each.number.to_bytes(_NUMBER, "little") + each.checksum for each in places))


EMPTY: Final = Table(0, ((NEVER,) * MEMBERS,) * PLACES)


def read_table(data: bytes, identity: bytes, group: int) -> Table | None:
    """The table in a sector, if it is this mirror's for that group."""
    magic, owner, its_group, number = _HEAD.unpack_from(data)
    if not is_sealed(data) or (magic, owner, its_group) != (TABLE_MAGIC, identity[:8], group):
        return None
    found = [_version(data, _HEAD.size + index * _VERSION) for index in range(PLACES * MEMBERS)]
    if max(number, *(version.number for version in found)) >= ENDLESS:
        return None
    return Table(number, tuple(tuple(found[place * MEMBERS : (place + 1) * MEMBERS]) for place in range(PLACES)))


def _version(data: bytes, at: int) -> Version:
    number = int.from_bytes(data[at : at + _NUMBER], "little")
    return Version(number, data[at + _NUMBER : at + _VERSION])


def newest(found: Sequence[Table | None]) -> tuple[int, Table | None]:
    """The place of the table with the highest number, and the table; place 0 and None if there is none."""
    numbers = [-1 if table is None else table.number for table in found]
    place = numbers.index(max(numbers))
    return place, found[place]


def identity_of(name: str) -> bytes:
    """How a mirror's name is written on its disks."""
    return blake2b(name.encode(), digest_size=IDENTITY).digest()


def groups_on(sectors: int) -> int:
    """How many groups a disk has room for."""
    return max(0, (sectors - FIRST) // SPAN)


def start_of(group: int) -> int:
    """The first sector of a group, where its first table is."""
    return FIRST + group * SPAN


def place_of(group: int, place: int, member: int) -> int:
    """The sector of the disk in which a member's content is."""
    return start_of(group) + PLACES + place * MEMBERS + member
