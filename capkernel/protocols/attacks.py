"""What attackers and an honest client of the same servers report in memory, for whoever looks on.

An attacker's report: a word that is 1 at the end; three words for each kind of trick (tries, those that were refused
with an error of a kind that is known, ways in). The honest client's: a word with its rounds; three words for a server
(requests that were answered rightly, and not; the longest wait in microseconds). In both, behind ``TEXT``: a word with
the number of bytes, and a text that tells of the first ways in or failures.
"""

import struct
from collections.abc import Sequence
from enum import Enum
from typing import Final

from attrs import frozen

TEXT: Final = 0x400
SIZE: Final = 0x1000
"""Bytes of a report."""
MOST_TOLD: Final = 12
ROW: Final = struct.Struct("<3Q")
WORD: Final = 8
CROWDED: Final = "mallory in the crowd {}"
TURNED_AWAY: Final = "mallory was turned away {}"
"""On the terminal: a text of an attacker's; and that it was refused to him."""


class Trick(Enum):
    """A kind of trick."""

    INPUT = "bad input"
    PATHS = "paths"
    RIGHTS = "more rights"
    QUOTAS = "quotas"
    FORGERY = "forged badges"
    REPLIES = "kept replies"
    CAPS = "cap floods"
    SLOW = "slow client"
    MEMORY = "shared memory"


@frozen
class Row:
    """How often a kind of trick was tried, refused, and got in."""

    tries: int = 0
    refused: int = 0
    ways_in: int = 0


@frozen
class Account:
    """All that an attacker tried; ``told`` says what got in."""

    is_done: bool
    rows: dict[Trick, Row]
    told: tuple[str, ...]

    @property
    def total(self) -> Row:
        """All kinds together."""
        rows = self.rows.values()
        return Row(sum(r.tries for r in rows), sum(r.refused for r in rows), sum(r.ways_in for r in rows))


@frozen
class Served:
    """Of one server: requests that were answered rightly, and not; the longest wait in microseconds."""

    served: int
    failed: int
    longest_us: int


SERVERS: Final = (
    "console", "timer", "rtc", "entropy", "ramdisk", "mirror", "log", "audit", "names", "supervisor", "usage", "files",
    "fat", "scratch", "bin", "mounts", "memory", "processes", "pager", "network",
)  # fmt: skip
"""Those of which the honest client is one, in this order."""


@frozen
class Seen:
    """What the honest client saw: rounds, how each server served it, the first failures in words."""

    rounds: int
    servers: dict[str, Served]
    told: tuple[str, ...]


def read_account(data: bytes) -> Account:
    """The account in an attacker's report."""
    rows = {trick: Row(*ROW.unpack_from(data, place_of(number))) for number, trick in enumerate(Trick)}
    return Account(bool(data[0]), rows, _told(data))


def read_seen(data: bytes) -> Seen:
    """The account in the honest client's report."""
    rows = {name: Served(*ROW.unpack_from(data, place_of(number))) for number, name in enumerate(SERVERS)}
    return Seen(struct.unpack_from("<Q", data)[0], rows, _told(data))


def place_of(number: int) -> int:
    """Where a row is."""
    return WORD + number * ROW.size


def text_of(told: Sequence[str]) -> bytes:
    """Lines as they stand at ``TEXT``."""
    text = "\n".join(told).encode()[: SIZE - TEXT - WORD]
    return struct.pack("<Q", len(text)) + text


def _told(data: bytes) -> tuple[str, ...]:
    (size,) = struct.unpack_from("<Q", data, TEXT)
    return tuple(data[TEXT + WORD : TEXT + WORD + size].decode(errors="replace").splitlines())
