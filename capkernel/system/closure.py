"""What authority may become: take-grant closure and information flow over an authority graph.

Two questions are answered, each with the chain of named rules that leads to a yes:

- *rights*: may A come to exercise a right on B? Rules ``given`` (the description says so),
  ``take`` (A controls X and X may, so A may act as X), ``grant`` and ``reply`` (a call carries
  caps to the callee, its reply carries caps to the caller). The last two need a receiver that
  has a CNode cap to receive into. In Microkit's layout nobody has one, so ``receivers`` is
  empty and authority does not spread by messages.
- *influence*: may what A does change what B sees? It follows every way information can take
  over memory, messages and control. Timing is not considered.
"""

from collections import deque
from collections.abc import Collection, Iterator
from enum import Enum

from attrs import field, frozen

from capkernel.system.authority import AuthorityGraph, Edge, Node, NodeKind, Right


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


@frozen(cache_hash=True)
class Fact:
    """A right that is given or was derived."""

    subject: Node
    right: Right
    object: Node

    def __str__(self) -> str:
        """A sentence."""
        return f"{self.subject} may {self.right.value} {self.object}"


@frozen
class Derivation:
    """Why a fact holds: an edge of the description, or a rule applied to two other facts."""

    rule: str
    edge: Edge | None = None
    premises: tuple[Fact, ...] = ()


@frozen
class Answer:
    """Yes or no, with the steps that lead to a yes."""

    yes: bool
    steps: tuple[Step, ...] = ()

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of the rules used, each once, in the order of use."""
        return tuple(dict.fromkeys(step.rule for step in self.steps))


# Memory is mapped by the initial task; a protection domain holds no frame cap to pass on.
_MEMORY = {Right.READ, Right.WRITE, Right.EXECUTE}
_NOT_TRANSFERABLE = {Right.SIGNAL, Right.FAULT}
_ACTORS = {NodeKind.PD, NodeKind.GUEST}


def _transferable(fact: Fact) -> bool:
    """Whether the right rests on a cap that its holder can send in a message."""
    if fact.right in _NOT_TRANSFERABLE:
        return False
    return fact.right not in _MEMORY or fact.object.kind is NodeKind.IOPORTS


@frozen
class _Known:
    """The facts so far, findable by subject, and calls and controls by object."""

    facts: dict[Fact, Derivation] = field(factory=dict)
    by_subject: dict[Node, list[Fact]] = field(factory=dict)
    into: dict[Node, list[Fact]] = field(factory=dict)

    def add(self, fact: Fact, derivation: Derivation) -> bool:
        """Whether the fact is new; facts about oneself are not kept."""
        if fact in self.facts or fact.subject == fact.object:
            return False
        self.facts[fact] = derivation
        self.by_subject.setdefault(fact.subject, []).append(fact)
        if fact.right in (Right.CALL, Right.CONTROL):
            self.into.setdefault(fact.object, []).append(fact)
        return True

    def partners(self, fact: Fact, *, messages: bool) -> Iterator[tuple[Fact, Fact]]:
        """Pairs (control or call, some right) that include ``fact`` and may yield another.

        ``messages``: whether calls can carry caps; without, only control counts.
        """
        calls = messages and fact.right is Right.CALL
        if calls or fact.right is Right.CONTROL:
            yield from ((fact, other) for other in self.by_subject.get(fact.object, ()))
        if calls:
            yield from ((fact, other) for other in self.by_subject.get(fact.subject, ()))
        for other in self.into.get(fact.subject, ()):
            if messages or other.right is Right.CONTROL:
                yield other, fact
        for other in self.by_subject.get(fact.subject, ()) if messages else ():
            if other.right is Right.CALL:
                yield other, fact


def _consequence(first: Fact, second: Fact, receivers: Collection[Node]) -> tuple[str, Fact] | None:
    """What a call or control together with another right yields, and the rule's name."""
    if first.right is Right.CONTROL:
        if second.subject == first.object:
            return "take", Fact(first.subject, second.right, second.object)
    elif _transferable(second):
        if second.subject == first.subject and first.object in receivers:
            return "grant", Fact(first.object, second.right, second.object)
        if second.subject == first.object and first.subject in receivers:
            return "reply", Fact(first.subject, second.right, second.object)
    return None


def close(graph: AuthorityGraph, receivers: Collection[Node] = ()) -> dict[Fact, Derivation]:
    """Every right that anybody may come to exercise, each with its first reason found."""
    known = _Known()
    waiting = deque[Fact]()
    for edge in graph.edges:
        fact = Fact(edge.subject, edge.right, edge.object)
        if known.add(fact, Derivation("given", edge)):
            waiting.append(fact)
    while waiting:
        for pair in list(known.partners(waiting.popleft(), messages=bool(receivers))):
            found = _consequence(*pair, receivers)
            if found and known.add(found[1], Derivation(found[0], premises=pair)):
                waiting.append(found[1])
    return known.facts


@frozen
class Closure:
    """Answers questions about one graph."""

    graph: AuthorityGraph
    receivers: frozenset[Node] = frozenset()
    facts: dict[Fact, Derivation] = field(init=False, repr=False)

    @facts.default
    def _close(self) -> dict[Fact, Derivation]:
        return close(self.graph, self.receivers)

    def may(self, subject: Node, object: Node, query: Query) -> Answer:
        """Whether and why ``subject`` may do to ``object`` what ``query`` says."""
        if query is Query.INFLUENCE:
            return self._influence(subject, object)
        for right in _rights(query, object):
            fact = Fact(subject, right, object)
            if fact in self.facts:
                return Answer(True, tuple(self._explain(fact)))
        return Answer(False)

    def _explain(self, fact: Fact) -> Iterator[Step]:
        derivation = self.facts[fact]
        for premise in derivation.premises:
            yield from self._explain(premise)
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
        for derivation in self.facts.values():
            for source, step, target in _flows_of(derivation.edge) if derivation.edge else ():
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
    """The rights that make a query true. To read or write an actor is to control it."""
    if query is Query.OBTAIN:
        return tuple(Right)
    if query in (Query.READ, Query.WRITE) and object.kind in _ACTORS:
        return (Right.CONTROL,)
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
}
_BACKWARD = {
    Right.READ: "is read by",
    Right.EXECUTE: "is executed by",
    Right.CALL: "replies to",
    Right.FAULT: "resumes",
    Right.CONTROL: "can be inspected by",
    Right.SCHEDULE: "shows its use of time to",
}


def _flows_of(edge: Edge) -> Iterator[tuple[Node, Step, Node]]:
    for verbs, source, target in (
        (_FORWARD, edge.subject, edge.object),
        (_BACKWARD, edge.object, edge.subject),
    ):
        if edge.right in verbs:
            text = f"{source} {verbs[edge.right]} {target}: {edge.reason}"
            yield source, Step(edge.right.value, text, edge), target
