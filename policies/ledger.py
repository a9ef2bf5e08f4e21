"""What the broker must not forget, as one value that is written down whole: rules, book, places of caps, records.

There is one order of writing, and it decides what a crash can leave. A grant is written down before its caps are made,
and its end before they are taken back. So a place in the ledger whose grant is not in the book holds caps that are to
be taken back, and a grant whose place is not whole was never handed out. Records wait here until the audit trail has
them: after a crash one may be there twice, and none is missing.
"""

from collections.abc import Iterator

from attrs import frozen

from capkernel.protocols.brokering import GrantInfo, Question
from capkernel.protocols.failures import NoSpace
from capkernel.user.kept import KeptValue
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import read
from policies.office import Office, Written
from policies.rules import RuleSet, read_rules

HEADER_BYTES = 16


class LedgerError(ValueError):
    """What was written down cannot be read any more. Nothing may be granted then: nobody knows what was."""


@frozen
class Place:
    """Where the caps of a grant lie, and to which service they are."""

    number: int
    grant: int
    service: str


@frozen
class Offer:
    """What somebody wants to let another have, of grant ``parent``; nobody has it until the other takes it.

    ``until_us`` is 0 if no time ends it.
    """

    question: Question
    parent: int
    until_us: int

    @property
    def info(self) -> GrantInfo:
        """As clients see it."""
        asked = self.question
        return GrantInfo(
            asked.number, self.parent, asked.subject, asked.service, asked.rights, asked.purpose, self.until_us,
            is_offer=True,
        )  # fmt: skip


@frozen
class Kept:
    """All of it."""

    rules: str
    book: Written
    places: list[Place]
    offers: list[Offer]
    unsaid: list[str]


class Ledger:
    """The broker's state, in a ``region`` that outlives it."""

    def __init__(self, region: SharedRegion) -> None:
        self.region = region
        self.kept = KeptValue(Kept, region)
        self.rules = ""
        self.office = Office(RuleSet([], [], []))
        self.places: dict[int, Place] = {}
        self.offers: dict[int, Offer] = {}
        self.unsaid: list[str] = []

    async def open(self, rules: str) -> None:
        """Go on where a former life was, or begin with these rules. Raises LedgerError, RulesError."""
        kept = await self.kept.load()
        if kept is None and any([any(await read(place, HEADER_BYTES)) for place in self._headers()]):
            raise LedgerError("the ledger cannot be read")
        if kept is None:
            self.rules, self.office = rules, Office(read_rules(rules))
            await self.save()
        else:
            self._take_up(kept)

    async def save(self) -> None:
        """Write everything down. Raises NoSpace; then all is as it was written down last.

        That something ends always finds room: a grant takes more of it than the record of its end.
        """
        places = list(self.places.values())
        try:
            offers = list(self.offers.values())
            await self.kept.save(Kept(self.rules, self.office.written(), places, offers, self.unsaid))
        except ValueError:
            last = await self.kept.load()
            if last is not None:
                self._take_up(last)
            raise NoSpace("the broker has no room to write down more") from None

    def place_of(self, grant: int) -> Place | None:
        """Where its caps lie."""
        return next((place for place in self.places.values() if place.grant == grant), None)

    @property
    def doomed(self) -> list[Place]:
        """The places whose grants are over."""
        return [place for place in self.places.values() if place.grant not in self.office.entries]

    def _headers(self) -> Iterator[int]:
        return iter((self.region.vaddr, self.region.vaddr + self.region.size // 2))

    def _take_up(self, kept: Kept) -> None:
        office = Office(read_rules(kept.rules))
        try:
            office.read(kept.book)
        except ValueError as error:
            raise LedgerError(f"the ledger contradicts itself: {error}") from None
        self.rules, self.office = kept.rules, office
        self.places = {place.number: place for place in kept.places}
        self.offers = {offer.question.number: offer for offer in kept.offers}
        self.unsaid = list(kept.unsaid)
