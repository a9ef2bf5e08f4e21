"""Attributes and roles in Cedar (Cutler and others, 2024): the rules are a text in Cedar's own language.

A subject is ``Subject::"alice"``, a service ``Service::"files"``; each right that is wanted is an action of its own,
``Action::"read"`` or ``Action::"write"``, and all must be permitted. The context has ``purpose``, ``duration_us``,
``now_us`` and ``depth``. Roles are parents of subjects, attributes are what the entities' JSON says. Rules and entities
are held to the schema when they are read, so a misspelt attribute is refused then, and not when it matters.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from attrs import evolve, frozen
from cedarpy import AuthzResult, Decision, Entities, PolicySet, Schema, is_authorized, validate_policies

from capkernel.protocols.brokering import RIGHT_NAMES, Question, Verdict
from policies.models.model import Memoryless

_CONTEXT: Final = ("purpose", "duration_us", "now_us", "depth")
CACHED: Final = 4096
"""Decisions that are remembered."""


class CedarError(ValueError):
    """The rules, the entities or the schema cannot be used; says why."""


@frozen
class Rules:
    """A text of policies, entities as JSON, and a schema, each as Cedar has them."""

    policies: str
    entities: str
    schema: str


class Cedar(Memoryless):
    """The policy. Raises CedarError for rules that do not fit the schema."""

    name = "cedar"

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.asked = 0
        """How often Cedar itself was asked; other answers were remembered."""
        self._sees_time = "now_us" in rules.policies
        self._remembered: OrderedDict[Question, tuple[bool, tuple[str, ...]]] = OrderedDict()
        with _reading("schema"):
            self._schema = Schema.from_str(rules.schema)
        with _reading("policies"):
            self._policies = PolicySet.from_str(rules.policies)
            found = validate_policies(rules.policies, self._schema)
        if not found.validation_passed:
            raise CedarError("the policies do not fit the schema: " + "; ".join(map(str, found.errors)))
        with _reading("entities"):
            self._entities = Entities.from_json_str(rules.entities, self._schema)
        for right, name in RIGHT_NAMES.items():
            answer = self._answer(Question(0, "anybody", "anything", right))
            if answer.decision is Decision.NoDecision:
                raise CedarError(
                    f"with this schema Cedar cannot be asked for {name}; a request has a Subject, Action::{name!r}, a "
                    f"Service and a context of {', '.join(_CONTEXT)}: {'; '.join(answer.diagnostics.errors)}"
                )

    def judge(self, question: Question) -> Verdict:
        """Each right by itself. Nothing at all is wanted: refused, since no rule can permit it."""
        wanted = [right for right in RIGHT_NAMES if question.rights & right]
        answers = [(RIGHT_NAMES[right], *self._decided(evolve(question, number=0, rights=right))) for right in wanted]
        reasons = tuple(f"{name} is {_word(allowed, why)}" for name, allowed, why in answers)
        is_known = not question.rights & ~sum(RIGHT_NAMES)
        allowed = bool(answers) and is_known and all(allowed for _, allowed, _ in answers)
        return Verdict(allowed, reasons or ("nothing that is known is wanted",))

    def _answer(self, question: Question) -> AuthzResult:
        """What Cedar says of one right."""
        return is_authorized(
            {
                "principal": {"type": "Subject", "id": question.subject},
                "action": {"type": "Action", "id": RIGHT_NAMES[question.rights]},
                "resource": {"type": "Service", "id": question.service},
                "context": {name: getattr(question, name) for name in _CONTEXT},
            },
            self._policies, self._entities, self._schema,
        )  # fmt: skip

    def _decided(self, question: Question) -> tuple[bool, tuple[str, ...]]:
        """One right, and the rules that decided."""
        key = question if self._sees_time else evolve(question, now_us=0)
        if key in self._remembered:
            self._remembered.move_to_end(key)
            return self._remembered[key]
        self.asked += 1
        answer = self._answer(question)
        names = answer.diagnostics.id_annotations_by_reason
        why = tuple(sorted(names.get(rule) or rule for rule in answer.diagnostics.reasons))
        decided = answer.decision is Decision.Allow, why or tuple(answer.diagnostics.errors)
        self._remembered[key] = decided
        if len(self._remembered) > CACHED:
            self._remembered.popitem(last=False)
        return decided


@contextmanager
def _reading(part: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise CedarError(f"the {part} cannot be read, or do not fit the schema: {error}") from None


def _word(allowed: bool, why: tuple[str, ...]) -> str:
    """What was decided, and by which rules."""
    if not why:
        return "permitted by no rule"
    return f"{'permitted' if allowed else 'forbidden'} by {', '.join(why)}"
