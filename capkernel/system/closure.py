"""What authority may become: questions about an authority graph, and their answers.

Two questions are answered, each with the chain of named rules that leads to a yes:

- *rights*: may A come to exercise a right on B? The rules are those of ``takegrant``: what is given, and what
  follows of it by control, by CNodes and by messages that carry caps.
- *influence*: may what A does change what B sees? It follows every way information can take
  over memory, messages, caps and control. Timing is not considered.
"""

from collections import deque
from collections.abc import Iterator
from enum import Enum

from attrs import field, frozen

from capkernel.system.authority import AuthorityGraph, Edge, Node, NodeKind, Right
from capkernel.system.takegrant import OPENING, Derivation, Fact, PassesOn, close, everybody_passes_on


class Query(Enum):
    """What can be asked about A and B."""

    READ = "read"
    WRITE = "write"
    CALL = "call"
    NOTIFY = "notify"
    OBTAIN = "obtain"
    INFLUENCE = "influence"


@frozen
class Step:
    """One step of an answer: a named rule, what it yields, and the edge it rests on, if any."""

    rule: str
    text: str
    edge: Edge | None = None

    def __str__(self) -> str:
        """One line."""
        place = f" ({self.edge.where})" if self.edge else ""
        return f"[{self.rule}] {self.text}{place}"


@frozen
class Answer:
    """Yes or no, with the steps that lead to a yes."""

    yes: bool
    steps: tuple[Step, ...] = ()

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of the rules used, each once, in the order of use."""
        return tuple(dict.fromkeys(step.rule for step in self.steps))


_ACTORS = {NodeKind.PD, NodeKind.GUEST}


@frozen
class Closure:
    """Answers questions about one graph. ``passes_on`` says who keeps a cap to itself; nobody, if not given."""

    graph: AuthorityGraph
    passes_on: PassesOn = everybody_passes_on
    facts: dict[Fact, Derivation] = field(init=False, repr=False)

    @facts.default
    def _close(self) -> dict[Fact, Derivation]:
        return close(self.graph, self.passes_on)

    def may(self, subject: Node, object: Node, query: Query) -> Answer:
        """Whether and why ``subject`` may do to ``object`` what ``query`` says."""
        if query is Query.INFLUENCE:
            return self._influence(subject, object)
        for right in _rights(query, object):
            fact = Fact(subject, right, object)
            if fact in self.facts:
                return Answer(True, self.why(fact))
        return Answer(False)

    def why(self, fact: Fact) -> tuple[Step, ...]:
        """The steps that lead to a fact. Raises KeyError if it is none."""
        return tuple(self._explain(fact, set()))

    def _explain(self, fact: Fact, told: set[Fact]) -> Iterator[Step]:
        """The steps that lead to a fact; each premise is told once."""
        told.add(fact)
        derivation = self.facts[fact]
        for premise in derivation.premises:
            if premise not in told:
                yield from self._explain(premise, told)
        reason = derivation.edge
        text = f"{fact}: {reason.reason}" if reason else f"so {fact}"
        yield Step(derivation.rule, text, reason)

    def _influence(self, subject: Node, object: Node) -> Answer:
        """A shortest flow from ``subject`` to ``object``."""
        came_from: dict[Node, tuple[Node, Step] | None] = {subject: None}
        waiting = deque([subject])
        flows = self._flows()
        while waiting and object not in came_from:
            node = waiting.popleft()
            for step, target in flows.get(node, ()):
                if target not in came_from:
                    came_from[target] = (node, step)
                    waiting.append(target)
        if object not in came_from or object == subject:
            return Answer(object == subject)
        return Answer(True, _steps_back(came_from, object))

    def _flows(self) -> dict[Node, list[tuple[Step, Node]]]:
        """Every one-step flow, by where it starts."""
        flows: dict[Node, list[tuple[Step, Node]]] = {}
        for fact, derivation in self.facts.items():
            for source, step, target in _flows_of(fact, derivation):
                flows.setdefault(source, []).append((step, target))
        return flows


def _steps_back(came_from: dict[Node, tuple[Node, Step] | None], end: Node) -> tuple[Step, ...]:
    steps: list[Step] = []
    arrival = came_from[end]
    while arrival is not None:
        node, step = arrival
        steps.append(step)
        arrival = came_from[node]
    return tuple(reversed(steps))


def _rights(query: Query, object: Node) -> tuple[Right, ...]:
    """The rights that make a query true. To read or write an actor is to hold its TCB or the CNode with its caps."""
    if query is Query.OBTAIN:
        return tuple(Right)
    if query in (Query.READ, Query.WRITE) and object.kind in _ACTORS:
        return Right.CONTROL, Right.CSPACE
    return (Right(query.value),)


# For each right: how information goes from subject to object, and how it comes back.
_FORWARD = {
    Right.WRITE: "writes",
    Right.NOTIFY: "notifies",
    Right.CALL: "calls",
    Right.FAULT: "sends faults to",
    Right.CONTROL: "controls",
    Right.SCHEDULE: "can stop",
    Right.VSPACE: "can unmap memory of",
    Right.SIGNAL: "wakes",
    Right.ACKNOWLEDGE: "acknowledges",
    Right.SEND: "sends to",
    Right.GRANT: "gives caps to",
    Right.RECEIVE: "takes messages from, and answers for,",
    Right.WAIT: "takes signals from",
    Right.CSPACE: "changes the caps of",
    Right.FRAME_WRITE: "can map and write",
    Right.RETYPE: "makes objects of",
    Right.ANSWER: "answers through",
    Right.LIFECYCLE: "stops and rebuilds",
    Right.ASSIGN: "makes address spaces with",
    Right.SPEND: "uses up",
}
_BACKWARD = {
    Right.READ: "is read by",
    Right.EXECUTE: "is executed by",
    Right.CALL: "replies to",
    Right.FAULT: "resumes",
    Right.CONTROL: "can be inspected by",
    Right.SCHEDULE: "shows its use of time to",
    Right.RECEIVE: "loses messages to",
    Right.WAIT: "loses signals to",
    Right.CSPACE: "shows its caps to",
    Right.FRAME_READ: "can be mapped and read by",
    Right.RETYPE: "shows what is left of it to",
    Right.ANSWER: "keeps callers for",
    Right.LIFECYCLE: "shows its state to",
    Right.ASSIGN: "shows what is left of them to",
    Right.SPEND: "shows what is left of it to",
}


def _flows_of(fact: Fact, derivation: Derivation) -> Iterator[tuple[Node, Step, Node]]:
    """The flows of a fact that is given, or that a granted cap opens; what else is derived flows by its premises."""
    edge = derivation.edge
    if edge is None and derivation.rule not in OPENING:
        return
    reason = edge.reason if edge else "by what it may be given"
    for verbs, source, target in ((_FORWARD, fact.subject, fact.object), (_BACKWARD, fact.object, fact.subject)):
        if fact.right in verbs:
            text = f"{source} {verbs[fact.right]} {target}: {reason}"
            yield source, Step(fact.right.value, text, edge), target
