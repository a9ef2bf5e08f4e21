"""What a mirror writes on each of its disks: labels, and groups of sectors with their versions.

The first sectors have the label, in two places that are written in turn. Then come groups: two places for a table,
then two places for each of ``MEMBERS`` sectors, first all the first ones, then all the second ones. The table says of
every place which version of the sector is in it: its number, and a checksum of its content. A version that is durable
is never overwritten before the next one is: a change goes to the other place, of the sector and of the table.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from hashlib import blake2b
from typing import Final

from attrs import frozen

from capkernel.protocols.block import SECTOR

PLACES: Final = 2
MEMBERS: Final = 16
"""Sectors in a group."""
SPAN: Final = PLACES * (1 + MEMBERS)
"""Sectors of the disk that a group takes."""
FIRST: Final = 8
"""Sectors before the first group."""
_LABEL: Final = struct.Struct("<8s16sQQQQQQ")
_LABEL_MAGIC: Final = b"capkmirr"
_HEAD: Final = struct.Struct("<8s8sQQ")
_TABLE_MAGIC: Final = b"capkvers"
_NUMBER: Final = 6
_CHECKSUM: Final = 8
_VERSION: Final = _NUMBER + _CHECKSUM
_COUNT: Final = 24
"""Bits of a version's number in which writes of a life are counted."""
_DIGEST: Final = 16
_SEALED: Final = SECTOR - _DIGEST
"""Bytes of a label or table that its digest at the end is of."""
_ENDLESS: Final = 1 << 47
"""Nothing is ever done so often: a higher number was not written here."""


class State(IntEnum):
    """What a label says of its disk: both are alike, or were; it went on without the other; the other did; it is
    being made.
    """

    BOTH = 1
    ALONE = 2
    BEHIND = 3
    NEW = 4


@frozen
class Label:
    """A disk's label. ``number`` counts labels written there, ``epoch`` how often one of the two was left or joined,
    ``life`` how often the mirror was opened.
    """

    identity: bytes
    number: int
    epoch: int
    life: int
    groups: int
    side: int
    state: State

    def pack(self) -> bytes:
        """A sector."""
        return _sealed(
            _LABEL.pack(
                _LABEL_MAGIC, self.identity, self.number, self.epoch, self.life, self.groups, self.side, self.state
            )
        )  # fmt: skip


def read_label(data: bytes) -> Label | None:
    """The label in a sector, if there is one."""
    magic, identity, number, epoch, life, groups, side, state = _LABEL.unpack_from(data)
    if not _is_sealed(data) or magic != _LABEL_MAGIC or side not in (0, 1) or state not in list(State):
        return None
    if max(number, epoch, first_of(life)) >= _ENDLESS:
        return None
    return Label(identity, number, epoch, life, groups, side, State(state))


@frozen
class Version:
    """Which content of a sector is meant. Number 0: it was never written, and is zero."""

    number: int
    checksum: bytes

    def is_of(self, sector: int, data: bytes) -> bool:
        """Whether this is that content."""
        return not any(data) if self.number == 0 else self.checksum == checksum_of(sector, data)


def first_of(life: int) -> int:
    """The lowest number of a version that is written in a life: no former life used it, or one above it."""
    return life << _COUNT


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
        head = _HEAD.pack(_TABLE_MAGIC, identity[:8], group, self.number)
        places = (version for place in self.versions for version in place)
        return _sealed(head + b"".join(each.number.to_bytes(_NUMBER, "little") + each.checksum for each in places))


EMPTY: Final = Table(0, ((NEVER,) * MEMBERS,) * PLACES)


def read_table(data: bytes, identity: bytes, group: int) -> Table | None:
    """The table in a sector, if it is this mirror's for that group."""
    magic, owner, its_group, number = _HEAD.unpack_from(data)
    if not _is_sealed(data) or (magic, owner, its_group) != (_TABLE_MAGIC, identity[:8], group):
        return None
    found = [_version(data, _HEAD.size + index * _VERSION) for index in range(PLACES * MEMBERS)]
    if max(number, *(version.number for version in found)) >= _ENDLESS:
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
    return blake2b(name.encode(), digest_size=16).digest()


def groups_on(sectors: int) -> int:
    """How many groups a disk has room for."""
    return max(0, (sectors - FIRST) // SPAN)


def start_of(group: int) -> int:
    """The first sector of a group, where its first table is."""
    return FIRST + group * SPAN


def place_of(group: int, place: int, member: int) -> int:
    """The sector of the disk in which a member's content is."""
    return start_of(group) + PLACES + place * MEMBERS + member


def _sealed(content: bytes) -> bytes:
    content = content.ljust(_SEALED, b"\0")
    return content + blake2b(content, digest_size=_DIGEST).digest()


def _is_sealed(data: bytes) -> bool:
    return blake2b(data[:_SEALED], digest_size=_DIGEST).digest() == data[_SEALED:SECTOR]
