"""The label that a mirror writes on each of its disks, and what two labels say of each other.

A mirror's server writes and reads it (``servers/storage/mirror``); whoever has the disks' images may read it, to see
whether they belong together. A label is in the first sector, and again in the second: they are written in turn.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from hashlib import blake2b
from typing import Final

from attrs import frozen

from capkernel.protocols.block import SECTOR
from capkernel.protocols.failures import Corrupt

PLACES: Final = 2
ENDLESS: Final = 1 << 47
"""Nothing is ever done so often: a higher number was not written here."""
STEPS: Final = 2
"""Numbers of lives that one opening takes. Each is written on both disks before the next one, so nothing was written
between them on one disk alone if its label is one step behind; two steps mean that the other one has lived without it.
"""
IDENTITY: Final = 16
"""Bytes by which a mirror knows its disks."""
_LABEL: Final = struct.Struct("<8s16sQQQQQQ")
_MAGIC: Final = b"capkmirr"
TABLE_MAGIC: Final = b"capkvers"
"""How a table begins, behind the labels: a disk that has one was a mirror's, though its labels be spoilt."""
_COUNT: Final = 24
"""Bits of a version's number in which writes of a life are counted."""
_DIGEST: Final = 16
_SEALED: Final = SECTOR - _DIGEST
"""Bytes of a label or table that its digest at the end is of."""


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
    ``life`` how often the mirror was opened, in steps (``STEPS``).
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
        return sealed(
            _LABEL.pack(
                _MAGIC, self.identity, self.number, self.epoch, self.life, self.groups, self.side, self.state
            )
        )  # fmt: skip


def read_label(data: bytes) -> Label | None:
    """The label in a sector, if there is one."""
    magic, identity, number, epoch, life, groups, side, state = _LABEL.unpack_from(data)
    if not is_sealed(data) or magic != _MAGIC or side not in (0, 1) or state not in list(State):
        return None
    if max(number, epoch, first_of(life)) >= ENDLESS:
        return None
    return Label(identity, number, epoch, life, groups, side, State(state))


def label_of(start: bytes) -> Label | None:
    """The label at the start of a disk, the later one if there are two."""
    labels = [read_label(start[place * SECTOR :]) for place in range(PLACES)]
    return max((each for each in labels if each), key=lambda each: each.number, default=None)


def first_of(life: int) -> int:
    """The lowest number of a version that is written in a life: no former life used it, or one above it."""
    return life << _COUNT


def check_pair(labels: Sequence[Label | None]) -> None:
    """Raises Corrupt if two labels contradict each other."""
    one, other = labels
    if one is None or other is None:
        return
    if one.identity != other.identity:
        raise Corrupt("the disks belong to two mirrors")
    if one.side == other.side:
        raise Corrupt(f"both disks are disk {one.side} of a mirror")
    if one.groups != other.groups:
        raise Corrupt(f"the disks are of mirrors of {one.groups} and of {other.groups} groups")
    went_on = one.state is other.state is State.ALONE and one.epoch == other.epoch
    if went_on or (_is_past(one, other) and _is_past(other, one)):
        raise Corrupt("each disk went on without the other")


def is_behind(own: Label | None, other: Label | None) -> bool:
    """Whether what a disk says of versions does not count, by both labels."""
    if own is None or own.state is State.BEHIND:
        return True
    return other is not None and _is_past(own, other)


def _is_past(own: Label, other: Label) -> bool:
    """Whether one label is from before what the other one tells: that its disk was left, or that both were opened."""
    was_left = other.state is State.ALONE and other.epoch > own.epoch
    return was_left or other.life - own.life >= STEPS


def sealed(content: bytes) -> bytes:
    """A sector with a digest at its end."""
    content = content.ljust(_SEALED, b"\0")
    return content + blake2b(content, digest_size=_DIGEST).digest()


def is_sealed(data: bytes) -> bool:
    """Whether the digest at a sector's end is right."""
    return blake2b(data[:_SEALED], digest_size=_DIGEST).digest() == data[_SEALED:SECTOR]
