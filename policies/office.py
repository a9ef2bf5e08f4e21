"""The broker's book: what was granted to whom, from what, until when; what the policies remember. It holds no caps.

Grants form a tree, as caps do: what was delegated is below what it came from, and ends with it. Everything here can be
written down (``written``) and read back, so a broker that dies goes on with all that it had granted; and nothing is in
the book that is not.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, field, frozen
from cattrs import Converter

from capkernel.protocols.brokering import GrantInfo, Question, Verdict
from policies.models.model import All, Model, refuse

_JSON = Converter()


@define(eq=False)
class Entry:
    """A grant: what was asked, what it came from, what was delegated from it. ``until_us`` is 0 if no time ends it."""

    question: Question
    parent: "Entry | None"
    until_us: int
    below: "list[Entry]" = field(factory=list)

    @property
    def number(self) -> int:
        """Its number, never used twice."""
        return self.question.number

    @property
    def info(self) -> GrantInfo:
        """As clients see it."""
        asked, above = self.question, self.parent.number if self.parent else 0
        return GrantInfo(
            asked.number, above, asked.subject, asked.service, asked.rights, asked.purpose, self.until_us
        )  # fmt: skip


@frozen
class WrittenGrant:
    """A grant as it is written down."""

    question: Question
    parent: int
    until_us: int


@frozen
class Written:
    """All of the book: the number of the next grant, the grants in their order, each policy's memory as JSON."""

    next_number: int
    grants: list[WrittenGrant]
    histories: list[bytes]


class Office:
    """The book, and the policies by which it is kept."""

    def __init__(self, policy: All) -> None:
        self.policy = policy
        self.entries: dict[int, Entry] = {}
        self.next_number = 1

    def question(
        self, subject: str, service: str, rights: int, purpose: str, duration_us: int, now_us: int, parent: int = 0
    ) -> Question:
        """What is to be decided. What comes from a grant goes through one hand more than that. Raises KeyError."""
        depth = self.entries[parent].question.depth + 1 if parent else 0
        return Question(self.next_number, subject, service, rights, purpose, duration_us, now_us, depth)

    def number(self) -> int:
        """A number for something that may become a grant."""
        self.next_number += 1
        return self.next_number - 1

    def judge(self, question: Question, parent: int = 0) -> Verdict:
        """What the policies say; beyond what its parent has, or longer, nothing can be granted. Nothing changes."""
        above = self.entries[parent] if parent else None
        if above is not None:
            asked, until = above.question, _until(question)
            if asked.service != question.service or question.rights & ~asked.rights:
                return refuse(f"broker: grant {parent} has less than that to give")
            if above.until_us and not 0 < until <= above.until_us:
                return refuse(f"broker: grant {parent} ends at {above.until_us} us")
        return self.policy.judge(question)

    def enter(self, question: Question, parent: int = 0) -> Entry:
        """Write down what ``judge`` has just allowed."""
        above = self.entries[parent] if parent else None
        entry = Entry(question, above, _until(question))
        self.entries[entry.number] = entry
        self.next_number = max(self.next_number, entry.number + 1)
        if above is not None:
            above.below.append(entry)
        self.policy.granted(question)
        return entry

    def end(self, number: int) -> list[Entry]:
        """A grant is over, and all that was delegated from it; returns what ended, children first. Raises KeyError."""
        entry = self.entries[number]
        ended = [gone for below in list(entry.below) for gone in self.end(below.number)]
        del self.entries[number]
        if entry.parent is not None:
            entry.parent.below.remove(entry)
        self.policy.ended(entry.question)
        return [*ended, entry]

    def due(self, now_us: int) -> list[int]:
        """The grants whose time is over; each may be gone with one before it."""
        return [number for number, entry in self.entries.items() if entry.until_us and entry.until_us <= now_us]

    @property
    def next_end_us(self) -> int:
        """When the next grant's time is over; 0 if none ends so."""
        return min((entry.until_us for entry in self.entries.values() if entry.until_us), default=0)

    def change(self, policy: All) -> list[Entry]:
        """Other policies from now on. Every grant is judged anew, in order; returns what ended, children first.

        A policy inherits from the one of the same name: what somebody has seen, a change of rules does not undo.
        """
        policy.inherit(self.policy.memories)
        self.policy = policy
        ended: list[Entry] = []
        refused: set[int] = set()
        for number, entry in list(self.entries.items()):
            above = entry.parent
            if (above is not None and above.number in refused) or not policy.keeps(entry.question).allowed:
                refused.add(number)
            else:
                policy.granted(entry.question)
        for number in refused:
            if number in self.entries:
                ended += self.end(number)
        return ended

    # On paper

    def written(self) -> Written:
        """All of it."""
        grants = [
            WrittenGrant(entry.question, entry.parent.number if entry.parent else 0, entry.until_us)
            for entry in self.entries.values()
        ]
        histories = [json.dumps(_JSON.unstructure(model.history)).encode() for model in self.policy.models]
        return Written(self.next_number, grants, histories)

    def read(self, written: Written) -> None:
        """Go on from there, with the same policies. Raises ValueError if this book cannot have been written by one."""
        histories = list(_histories(self.policy, written.histories))
        entries: dict[int, Entry] = {}
        for each in written.grants:
            if each.parent and each.parent not in entries:
                raise ValueError(f"grant {each.question.number} comes from grant {each.parent}, which is not there")
            if each.question.number in entries or not 0 < each.question.number < written.next_number:
                raise ValueError(f"grant {each.question.number} cannot be, or is there twice")
            entry = Entry(each.question, entries.get(each.parent), each.until_us)
            entries[entry.number] = entry
            if entry.parent is not None:
                entry.parent.below.append(entry)
        self.entries, self.next_number = entries, written.next_number
        for set_history in histories:
            set_history()


def _until(question: Question) -> int:
    return question.now_us + question.duration_us if question.duration_us else 0


def _histories(policy: All, written: list[bytes]) -> Iterator[Callable[[], None]]:
    """For each policy what gives it its memory back. Raises ValueError."""
    if len(written) != len(policy.models):
        raise ValueError(f"there are {len(policy.models)} policies, and the memories of {len(written)}")
    for model, data in zip(policy.models, written, strict=True):
        kind = type(model.history)
        try:
            found = _JSON.structure(json.loads(data), kind) if kind is not type(None) else None
        except Exception as error:
            raise ValueError(f"what {model.name} remembered cannot be read: {error}") from error
        yield _setter(model, found)


def _setter(model: Model, history: Any) -> Callable[[], None]:
    def give() -> None:
        model.history = history

    return give
