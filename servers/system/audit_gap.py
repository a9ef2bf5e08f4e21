"""Records that were not written into an audit trail, until it says so itself: how many, whose, from when.

*That* records are missing the trail on the disk says before the first is lost (a gap that is opened). *How many* is
known here, in memory that outlives the server, if it is given some, but not the machine. Whoever finds an open gap that
is not his own knows of it what the trail says: at least so many.
"""

from typing import Final

from attrs import evolve, frozen

from capkernel.protocols.audit_trail import Chain, Gap
from capkernel.user.kept import KeptValue
from capkernel.user.messages import SharedRegion

NOTHING: Final = Gap(0, [], 0, 0)


def _more(gap: Gap, count: int, author: str, now_us: int) -> Gap:
    """A gap with further records."""
    if not count:
        return gap
    authors = gap.authors if author in gap.authors else [*gap.authors, author]
    return evolve(
        gap, count=gap.count + count, authors=authors, first_us=gap.first_us if gap.count else now_us, last_us=now_us
    )


def _after_another(opened: Gap, gap: Gap) -> Gap:
    """A gap that somebody opened whose count is lost, and what is missing since."""
    authors = [*opened.authors, *(author for author in gap.authors if author not in opened.authors)]
    last_us = gap.last_us if gap.count else opened.last_us
    return Gap(opened.count + gap.count, authors, opened.first_us, last_us, is_at_least=True)


@frozen
class Missing:
    """What is missing. If the trail turns out to end with the batch whose end was not seen, ``otherwise`` is missing;
    ``number`` and ``state`` are the trail's with that batch. ``opening`` is the record that opens this gap on the disk,
    or is to, if its end was not seen either; 0 if there is none.
    """

    gap: Gap = NOTHING
    otherwise: Gap = NOTHING
    number: int = 0
    state: bytes = b""
    opening: int = 0

    def with_failed(self, count: int, author: str, now_us: int, end: Chain | None) -> "Missing":
        """After an attempt to write so many records. ``end`` is the trail's if they are there after all, and with them
        a record of what was missing before; None if nothing can be there.
        """
        gap = _more(self.gap, count, author, now_us)
        if end is None:
            return evolve(self, gap=gap, otherwise=_more(self.otherwise, count, author, now_us))
        return Missing(gap, NOTHING, end.number, end.state, self.opening)

    def seen(self, end: Chain, opened: tuple[int, Gap] | None) -> "Missing":
        """Now that it is known where the trail ends, and with which open gap."""
        gap = self.otherwise if (self.number, self.state) == (end.number, end.state) else self.gap
        if opened is None:
            return Missing(gap)
        number, found = opened
        return Missing(gap if number == self.opening else _after_another(found, gap), opening=number)


class MissingRecords:
    """What is missing; in the ``region``, if there is one."""

    def __init__(self, region: SharedRegion | None = None) -> None:
        self.value = Missing()
        self._kept = KeptValue(Missing, region) if region is not None else None

    async def load(self) -> None:
        """Go on with what a former life has left."""
        if self._kept is not None:
            self.value = await self._kept.load() or Missing()

    async def become(self, value: Missing) -> None:
        """Change it."""
        if value != self.value:
            self.value = value
            if self._kept is not None:
                await self._kept.save(value)
