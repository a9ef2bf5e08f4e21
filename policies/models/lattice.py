"""Mandatory access control by labels: Bell and LaPadula for secrecy (1976), Biba for integrity (1977).

A label is a level and a set of categories; one dominates another if its level is as high and it has all its categories.
Labels never change (the strong tranquility property), so both theorems are about what can flow at all.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence

from attrs import field, frozen

from capkernel.protocols.brokering import Question, Verdict
from policies.models.model import Memoryless, allow, refuse


def _all(names: Iterable[str]) -> frozenset[str]:
    return frozenset(names)


@frozen
class Label:
    """A level, the lowest is 0, and categories."""

    level: int
    categories: frozenset[str] = field(default=frozenset(), converter=_all)

    def dominates(self, other: "Label") -> bool:
        """Whether this one is at least as high, and has all the other's categories."""
        return self.level >= other.level and self.categories >= other.categories


@frozen
class Labels:
    """Who and what has which label. ``levels`` are their names, the lowest first."""

    levels: Sequence[str]
    subjects: Mapping[str, Label]
    services: Mapping[str, Label]

    def shown(self, label: Label) -> str:
        """A label as it is read."""
        return "/".join([self.levels[label.level], *sorted(label.categories)])


class _Labelled(Memoryless):
    """Either model: something flows from the dominated to the dominating label, or the other way round."""

    down, up = "", ""
    """What it is called to let something flow against the rule, by reading and by writing."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels

    @abstractmethod
    def _flows(self, source: Label, target: Label) -> bool:
        """Whether what is labelled so may get to where the label is another."""

    def judge(self, question: Question) -> Verdict:
        """What the subject reads flows to it; what it writes flows to the service."""
        subject = self.labels.subjects.get(question.subject)
        service = self.labels.services.get(question.service)
        if subject is None or service is None:
            return refuse(f"{question.service if subject else question.subject} has no label")
        said = f"{question.subject} is {self.labels.shown(subject)}, {question.service} is {self.labels.shown(service)}"
        wrong = []
        if question.reads and not self._flows(service, subject):
            wrong.append(f"{self.down}: {said}")
        if question.writes and not self._flows(subject, service):
            wrong.append(f"{self.up}: {said}")
        return refuse(*wrong) if wrong else allow(said)


class BellLaPadula(_Labelled):
    """No read up (simple security), no write down (the *-property)."""

    name = "secrecy"
    down, up = "no read up", "no write down"

    def _flows(self, source: Label, target: Label) -> bool:
        return target.dominates(source)


class Biba(_Labelled):
    """Strict integrity: no read down, no write up."""

    name = "integrity"
    down, up = "no read down", "no write up"

    def _flows(self, source: Label, target: Label) -> bool:
        return source.dominates(target)
