"""The label that a mirror writes on each of its disks, and what two labels say of each other.

A mirror's server writes and reads it (``servers/storage/mirror``); whoever has the disks' images may read it, to see
whether they belong together. A label is in the first sector, and again in the second: they are written in turn.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from hashlib import blake2b
from typing import Final

from attrs import evolve, frozen

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
_LABEL: Final = struct.Struct("<8s16sQQQQQQ8sQ")
_FORMER: Final = struct.Struct("<8sQ")
REMEMBERED: Final = 20
"""Former lines that a label tells of. A disk whose line is older than all of them is refused."""
LINE: Final = 8
"""Bytes by which a line of content is known. A mirror's first one is zero."""
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

    ``line`` says whose content it holds: whoever goes on without the other begins a line of its own, and who joins it
    takes that over. ``past`` are the lines from which it comes, the last one first, each with the last life in it.
    """

    identity: bytes
    number: int
    epoch: int
    life: int
    groups: int
    side: int
    state: State
    line: bytes = bytes(LINE)
    past: tuple[tuple[bytes, int], ...] = ()

    def pack(self) -> bytes:
        """A sector."""
        head = _LABEL.pack(
            _MAGIC, self.identity, self.number, self.epoch, self.life, self.groups, self.side, self.state, self.line,
            len(self.past),
        )  # fmt: skip
        return sealed(head + b"".join(_FORMER.pack(*each) for each in self.past))

    def alone(self, last: int, chance: bytes) -> "Label":
        """The beginning of a line of its own; ``last`` is the last life that the other disk may know of.

        ``chance`` tells lines apart that begin with the same label: that of a disk, and that of a copy of it.
        """
        said = b"".join(number.to_bytes(8, "little") for number in (self.side, self.epoch, self.life)) + chance
        line = blake2b(self.line + said, digest_size=LINE).digest()
        past = ((self.line, last), *self.past)[:REMEMBERED]
        return evolve(self, state=State.ALONE, line=line, past=past)


def read_label(data: bytes) -> Label | None:
    """The label in a sector, if there is one."""
    magic, identity, number, epoch, life, groups, side, state, line, lines = _LABEL.unpack_from(data)
    if not is_sealed(data) or magic != _MAGIC or side not in (0, 1) or state not in list(State):
        return None
    if max(number, epoch, first_of(life)) >= ENDLESS or lines > REMEMBERED:
        return None
    past = tuple(_FORMER.unpack_from(data, _LABEL.size + place * _FORMER.size) for place in range(lines))
    return Label(identity, number, epoch, life, groups, side, State(state), line, past)


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
    if one.line == other.line and one.side == other.side:
        raise Corrupt(f"both disks are disk {one.side} of a mirror")
    if one.groups != other.groups:
        raise Corrupt(f"the disks are of mirrors of {one.groups} and of {other.groups} groups")
    are_past = _is_past(one, other), _is_past(other, one)
    went_on = one.state is other.state is State.ALONE and one.epoch == other.epoch
    if one.line != other.line:
        went_on = not any(are_past) and State.BEHIND not in (one.state, other.state)
    if went_on or all(are_past):
        raise Corrupt("each disk went on without the other")


def is_behind(own: Label | None, other: Label | None) -> bool:
    """Whether what a disk says of versions does not count, by both labels."""
    if own is None or own.state is State.BEHIND:
        return True
    return other is not None and _is_past(own, other)


def _is_past(own: Label, other: Label) -> bool:
    """Whether one label is from before what the other one tells: that its disk was left, or that both were opened."""
    if own.line != other.line:
        return own.life <= dict(other.past).get(own.line, -1)
    was_left = other.state is State.ALONE and other.epoch > own.epoch
    return was_left or other.life - own.life >= STEPS


def sealed(content: bytes) -> bytes:
    """A sector with a digest at its end."""
    content = content.ljust(_SEALED, b"\0")
    return content + blake2b(content, digest_size=_DIGEST).digest()


def is_sealed(data: bytes) -> bool:
    """Whether the digest at a sector's end is right."""
    return blake2b(data[:_SEALED], digest_size=_DIGEST).digest() == data[_SEALED:SECTOR]
