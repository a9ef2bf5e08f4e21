"""What every policy is: it judges a question, and is told what was granted and what is over.

    verdict = model.judge(question)           # no effect: may be asked any number of times
    model.granted(question)                   # only after a verdict that allowed it, before anything else is granted
    model.ended(question)                     # the cap was given up, taken back, or its time is over

A model is a value that can be written down: `history` is an attrs object, and a model made anew with the same rules and
given the same history says the same. So a policy server that dies goes on where it was.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen

READ: Final = 1
WRITE: Final = 2
ALL_RIGHTS: Final = 3
RIGHT_NAMES: Final = {READ: "read", WRITE: "write"}


@frozen
class Question:
    """May a subject have a service with these rights, for a purpose, for so long?

    ``number`` tells grants apart, ``now_us`` is when it is asked; ``duration_us`` is 0 for "until it is given up".
    ``depth`` counts the hands through which it has gone: 0 if it comes from the broker itself.
    """

    number: int
    subject: str
    service: str
    rights: int
    purpose: str = ""
    duration_us: int = 0
    now_us: int = 0
    depth: int = 0

    @property
    def reads(self) -> bool:
        """Whether what is in the service may come to the subject."""
        return bool(self.rights & READ)

    @property
    def writes(self) -> bool:
        """Whether what the subject knows may come into the service."""
        return bool(self.rights & WRITE)

    @property
    def wish(self) -> str:
        """The question in words."""
        wanted = " and ".join(name for right, name in RIGHT_NAMES.items() if self.rights & right) or "nothing"
        return f"{self.subject} wants to {wanted} {self.service}"


@frozen
class Verdict:
    """What a policy says, and why: a sentence for each rule that decided."""

    allowed: bool
    reasons: tuple[str, ...]


def allow(*reasons: str) -> Verdict:
    """It may be."""
    return Verdict(True, reasons)


def refuse(*reasons: str) -> Verdict:
    """It may not be."""
    return Verdict(False, reasons)


class Model(ABC):
    """A policy. ``name`` is how its reasons are signed."""

    name: str = ""

    @abstractmethod
    def judge(self, question: Question) -> Verdict:
        """Whether it may be granted now. Nothing changes."""

    @abstractmethod
    def granted(self, question: Question) -> None:
        """It was granted."""

    @abstractmethod
    def ended(self, question: Question) -> None:
        """It is over."""

    @property
    @abstractmethod
    def history(self) -> Any:
        """What must not be forgotten: an attrs object, or None."""

    @history.setter
    @abstractmethod
    def history(self, kept: Any) -> None:
        """Go on from there."""


class Memoryless(Model):
    """A policy whose answers depend on the question alone."""

    def granted(self, question: Question) -> None:
        """It makes no difference."""

    def ended(self, question: Question) -> None:
        """It makes no difference."""

    @property
    def history(self) -> None:
        """None."""
        return None

    @history.setter
    def history(self, kept: None) -> None:
        """There is nothing to be known."""


class All(Model):
    """Several policies at once: all must allow, any may veto. All their reasons are given, the vetoes first."""

    name = "all"

    def __init__(self, models: Sequence[Model]) -> None:
        self.models = tuple(models)

    def judge(self, question: Question) -> Verdict:
        """Ask each. A question that nobody judges is refused."""
        verdicts = [(model, model.judge(question)) for model in self.models]
        verdicts.sort(key=lambda each: each[1].allowed)
        reasons = tuple(f"{model.name}: {reason}" for model, verdict in verdicts for reason in verdict.reasons)
        return Verdict(bool(verdicts) and all(verdict.allowed for _, verdict in verdicts), reasons)

    def granted(self, question: Question) -> None:
        """Tell each."""
        for model in self.models:
            model.granted(question)

    def ended(self, question: Question) -> None:
        """Tell each."""
        for model in self.models:
            model.ended(question)

    @property
    def history(self) -> list[Any]:
        """Of each, in order."""
        return [model.history for model in self.models]

    @history.setter
    def history(self, kept: list[Any]) -> None:
        for model, part in zip(self.models, kept, strict=True):
            model.history = part
