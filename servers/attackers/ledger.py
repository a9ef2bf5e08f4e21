"""What an attacker tried, and what came of it: counted by kind of trick, in memory that who looks on can read.

The first word is 1 at the end. Then come three words for each kind: tries, how many were refused with an error of a kind
that is known, and ways in. What got in is told in text behind ``TEXT``.
"""

import struct
from collections.abc import Awaitable
from enum import Enum
from typing import Any, Final

from attrs import frozen

from capkernel.protocols.failures import FIRST_LABEL, Failure, ServerDied, kinds
from capkernel.user.codec import MessageError
from capkernel.user.errors import KernelError
from capkernel.user.loop import PD
from capkernel.user.messages import label_of
from capkernel.user.syscalls import Message

TEXT: Final = 0x400
"""Offset of the text: a word with the number of its bytes, then they."""
SIZE: Final = 0x1000
_MOST: Final = 12
"""Ways in that are told; all are counted."""
_ROW: Final = struct.Struct("<3Q")


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
    """All of it; ``told`` says what got in."""

    is_done: bool
    rows: dict[Trick, Row]
    told: tuple[str, ...]

    @property
    def total(self) -> Row:
        """All kinds together."""
        rows = self.rows.values()
        return Row(sum(r.tries for r in rows), sum(r.refused for r in rows), sum(r.ways_in for r in rows))


def read_account(data: bytes) -> Account:
    """The account in a report's bytes."""
    rows = {trick: Row(*_ROW.unpack_from(data, 8 + number * _ROW.size)) for number, trick in enumerate(Trick)}
    (size,) = struct.unpack_from("<Q", data, TEXT)
    text = data[TEXT + 8 : TEXT + 8 + size].decode()
    return Account(bool(data[0]), rows, tuple(text.splitlines()))


class Ledger:
    """The account while it is being written, at ``report``."""

    def __init__(self, pd: PD, report: int) -> None:
        self.pd = pd
        self.report = report
        self.rows = {trick: [0, 0, 0] for trick in Trick}
        self.told: list[str] = []

    async def refused(self, trick: Trick, what: str, attempt: Awaitable[Any]) -> None:
        """Try something that must be refused, by the server or by the kernel."""
        try:
            await attempt
        except MessageError:
            # It cannot be said at all: nothing was sent.
            return
        except ServerDied as death:
            await self.count(trick, f"{what}: {death}", is_refused=False)
        except (Failure, KernelError):
            await self.count(trick, what, is_refused=True)
        else:
            await self.count(trick, what, is_refused=False)

    async def answered(self, trick: Trick, what: str, reply: Message, *, must_fail: bool) -> None:
        """Judge a reply: a failure of a kind that is known, or (if it need not fail) a result."""
        label = label_of(reply)
        is_failure = label in _LABELS
        if not label and not must_fail:
            await self.allowed(trick)
            return
        await self.count(trick, f"{what} was answered with label {label:#x}", is_refused=is_failure)

    async def allowed(self, trick: Trick) -> None:
        """Something was tried that may be refused or not."""
        self.rows[trick][0] += 1
        await self._save(trick)

    async def count(self, trick: Trick, what: str, *, is_refused: bool) -> None:
        """Something was tried that had to be refused."""
        row = self.rows[trick]
        row[0] += 1
        row[1 if is_refused else 2] += 1
        await self._save(trick)
        if not is_refused and len(self.told) < _MOST:
            self.told.append(f"{trick.value}: {what}")
            text = "\n".join(self.told).encode()[: SIZE - TEXT - 8]
            await self.pd.write(self.report + TEXT, struct.pack("<Q", len(text)) + text)

    async def close(self) -> None:
        """It is over."""
        await self.pd.store(self.report, 1)

    async def _save(self, trick: Trick) -> None:
        where = self.report + 8 + list(Trick).index(trick) * _ROW.size
        await self.pd.write(where, _ROW.pack(*self.rows[trick]))


_LABELS: Final = frozenset(FIRST_LABEL + kind.code for kind in kinds()) - {FIRST_LABEL + ServerDied.code}
