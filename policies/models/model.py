"""What every policy is: it judges a question, and is told what was granted and what is over.

    verdict = model.judge(question)           # no effect: may be asked any number of times
    model.granted(question)                   # only after a verdict that allowed it, before anything else is granted
    model.ended(question)                     # the cap was given up, taken back, or its time is over

A model is a value that can be written down: `history` is an attrs object, and a model made anew with the same rules and
given the same history says the same. So a policy server that dies goes on where it was.

When rules are changed, a new model takes the place of the old one of the same name. It inherits what does not follow
from the grants that there are, is asked of each of them whether it may stay (``keeps``), and told of those that do.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from capkernel.protocols.brokering import Question, Verdict


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

    def keeps(self, question: Question) -> Verdict:
        """Whether a grant that there is may stay under these rules. Nothing changes."""
        return self.judge(question)

    @abstractmethod
    def granted(self, question: Question) -> None:
        """It was granted, or stays."""

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

    @abstractmethod
    def inherit(self, history: Any) -> None:
        """What a policy of the same name, with other rules, remembered: take over what grants alone do not tell."""


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

    def inherit(self, history: None) -> None:
        """There is nothing to be known."""


class All(Model):
    """Several policies at once: all must allow, any may veto. All their reasons are given, the vetoes first."""

    name = "all"

    def __init__(self, models: Sequence[Model]) -> None:
        self.models = tuple(models)

    def judge(self, question: Question) -> Verdict:
        """Ask each. A question that nobody judges is refused."""
        return self._verdict([(model, model.judge(question)) for model in self.models])

    def keeps(self, question: Question) -> Verdict:
        """Ask each."""
        return self._verdict([(model, model.keeps(question)) for model in self.models])

    def vetoes(self, question: Question, *, is_held: bool = False) -> tuple[str, ...]:
        """The reasons of those alone who refuse it now, or refuse that it stays."""
        verdicts = [(model, model.keeps(question) if is_held else model.judge(question)) for model in self.models]
        return self._verdict([each for each in verdicts if not each[1].allowed]).reasons

    def _verdict(self, verdicts: list[tuple[Model, Verdict]]) -> Verdict:
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

    def inherit(self, history: Mapping[str, Any]) -> None:
        """By the names of the policies."""
        for model in self.models:
            if model.name in history:
                model.inherit(history[model.name])

    @property
    def memories(self) -> dict[str, Any]:
        """What there is to be inherited."""
        return {model.name: model.history for model in self.models}
