"""How much: how long a cap lasts, how many at a time, how many in a while, how far it may be handed on.

Each is a policy of its own. Times are microseconds of the machine's.
"""

from collections.abc import Mapping
from typing import Final

from attrs import define, field, frozen

from capkernel.protocols.brokering import Question, Verdict
from policies.models.model import Memoryless, Model, allow, refuse

EVERYBODY: Final = "*"
"""In a table of limits: whoever is not named."""


def limit_of(limits: Mapping[str, int], subject: str) -> int:
    """The limit of a subject; 0 if nothing is said of it."""
    return limits.get(subject, limits.get(EVERYBODY, 0))


def in_words(us: int) -> str:
    """A time, exactly, in the largest unit that needs no more than three decimals."""
    name, size = next(((name, size) for name, size in _UNITS if us >= size and not us * 1000 % size), ("us", 1))
    whole, thousandths = divmod(us * 1000 // size, 1000)
    return f"{whole}.{thousandths:03}".rstrip("0").rstrip(".") + f" {name}"


_UNITS: Final = (("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000))


class Lease(Memoryless):
    """Nobody has anything for ever: a duration must be said, and is at most so long for a service."""

    name = "lease"

    def __init__(self, longest_us: Mapping[str, int]) -> None:
        self.longest_us = longest_us

    def judge(self, question: Question) -> Verdict:
        """The duration that is asked for."""
        longest = limit_of(self.longest_us, question.service)
        if not 0 < question.duration_us <= longest:
            wanted = in_words(question.duration_us) if question.duration_us else "for ever"
            return refuse(f"{question.service} is lent for at most {in_words(longest)}, not {wanted}")
        return allow(f"{question.service} is lent for {in_words(question.duration_us)}")


class Depth(Memoryless):
    """What was delegated may be delegated again only so many times."""

    name = "depth"

    def __init__(self, most: Mapping[str, int]) -> None:
        self.most = most

    def judge(self, question: Question) -> Verdict:
        """Through how many hands it has gone."""
        most = limit_of(self.most, question.service)
        if question.depth > most:
            return refuse(f"{question.service} may be handed on {most} times, and this is the {question.depth}th")
        return allow(f"{question.service} has been handed on {question.depth} times of {most}")


@define
class Held:
    """The grants that each subject holds, by number."""

    by_subject: dict[str, list[int]] = field(factory=dict)


class Quota(Model):
    """Nobody holds more than so many caps at a time."""

    name = "quota"

    def __init__(self, most: Mapping[str, int]) -> None:
        self.most = most
        self.held = Held()

    def judge(self, question: Question) -> Verdict:
        """How many there are."""
        most, count = limit_of(self.most, question.subject), len(self.held.by_subject.get(question.subject, []))
        if count >= most:
            return refuse(f"{question.subject} holds {count} of {most} already")
        return allow(f"{question.subject} holds {count} of {most}")

    def granted(self, question: Question) -> None:
        """One more."""
        self.held.by_subject.setdefault(question.subject, []).append(question.number)

    def ended(self, question: Question) -> None:
        """One less. A grant that is not known, or is over already, is none."""
        numbers = self.held.by_subject.get(question.subject, [])
        if question.number in numbers:
            numbers.remove(question.number)

    @property
    def history(self) -> Held:
        """Who holds what."""
        return self.held

    @history.setter
    def history(self, kept: Held) -> None:
        self.held = kept

    def inherit(self, history: Held) -> None:
        """The grants that stay tell it all."""


@frozen
class Bucket:
    """Tokens at a moment, in millionths."""

    millionths: int
    at_us: int


@define
class Buckets:
    """Of each subject that ever asked."""

    by_subject: dict[str, Bucket] = field(factory=dict)


class Rate(Model):
    """So many grants in each second, and as many at once after a pause (a token bucket)."""

    name = "rate"
    ONE: Final = 1_000_000

    def __init__(self, per_second: Mapping[str, int]) -> None:
        self.per_second = per_second
        self.buckets = Buckets()

    def _tokens(self, question: Question) -> int:
        """Millionths of a token that are there now."""
        rate = limit_of(self.per_second, question.subject)
        bucket = self.buckets.by_subject.get(question.subject, Bucket(rate * self.ONE, question.now_us))
        since = max(0, question.now_us - bucket.at_us)
        return min(rate * self.ONE, bucket.millionths + since * rate)

    def judge(self, question: Question) -> Verdict:
        """Whether there is a token."""
        rate, tokens = limit_of(self.per_second, question.subject), self._tokens(question)
        if tokens >= self.ONE:
            return allow(f"{question.subject} has {tokens // self.ONE} of {rate} grants a second left")
        if not rate:
            return refuse(f"{question.subject} is granted nothing")
        wait = -(-(self.ONE - tokens) // rate)
        return refuse(f"{question.subject} has had its {rate} grants a second; the next is free in {in_words(wait)}")

    def keeps(self, question: Question) -> Verdict:
        """What was granted at some time was not too often then."""
        return allow(f"{question.subject} has it already")

    def granted(self, question: Question) -> None:
        """It cost a token."""
        now = max(question.now_us, self.buckets.by_subject.get(question.subject, Bucket(0, 0)).at_us)
        self.buckets.by_subject[question.subject] = Bucket(self._tokens(question) - self.ONE, now)

    def ended(self, question: Question) -> None:
        """A token does not come back."""

    @property
    def history(self) -> Buckets:
        """What is left of each subject's."""
        return self.buckets

    @history.setter
    def history(self, kept: Buckets) -> None:
        self.buckets = kept

    def inherit(self, history: Buckets) -> None:
        """Nothing: under another rate everybody begins with what the grants that stay cost."""
