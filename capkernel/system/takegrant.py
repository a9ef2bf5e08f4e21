"""Which rights may come of the rights that a description gives: take-grant rules, applied until nothing new comes.

| rule      | from                                   | and            | follows                                   |
|-----------|----------------------------------------|----------------|-------------------------------------------|
| given     | the description says so                |                |                                           |
| own       | a domain holds a cap on itself         |                |                                           |
| take      | A controls X                           | X may          | A may: it acts as X                       |
| take      | A holds the CNode of X                 | X has a cap    | A may: it copies the cap                  |
| grant     | A holds the CNode of X                 | A has a cap    | X may: A puts a copy there                |
| grant     | A sends X messages with caps           | A has a cap    | X may, if X can receive caps              |
| reply     | A calls X                              | X has a cap    | A may, if A can receive caps              |
| receive   | A receives what is sent to X           | B sends to X   | B sends to A                              |
| map       | A has a cap of a frame                 |                | A may read (or write) the memory          |
| map for   | A holds the VSpace of X                | A has a cap of | X may read (or write) it                  |
|           |                                        | memory         |                                           |
| configure | A controls X                           | A has a cap    | X may: A makes it the CSpace, VSpace, IPC |
|           |                                        |                | buffer or notification of X; to call Y: X |
|           |                                        |                | faults to Y                               |
| run       | X may hold the VSpace of Z, and        | Z may read (or | X may: it runs there                      |
|           | somebody controls X, or X has time     | write) memory  |                                           |

Who holds a CNode, its own, another's or one of new slots, can receive caps. In Microkit's format nobody does, so there
authority spreads by control alone. Only a right that rests on a cap can be copied or sent; memory that the initial task
mapped cannot. The rules err on the side of yes: a cap in any of X's CNodes counts as if it were in the one that is
held, and who has a cap of a frame is taken to find an address space to map it in.

Whoever can pass on a cap is taken to do so, unless ``PassesOn`` says otherwise: so trust in a server is stated.
"""

from collections import deque
from collections.abc import Callable, Iterator

from attrs import field, frozen

from capkernel.system.authority import CAP_RIGHTS, AuthorityGraph, Edge, Node, NodeKind, Right, pd_node
from capkernel.system.description import ProtectionDomain
from capkernel.system.grants import receives_messages

GIVEN, OWN, TAKE, GRANT, REPLY, RECEIVE, MAP = "given", "own", "take", "grant", "reply", "receive", "map"
MAP_FOR, CONFIGURE, RUN = "map for", "configure", "run"
OPENING = {GRANT, MAP_FOR, CONFIGURE, RUN}
"""The rules that open a flow of information which none of their premises has."""


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
    """Why a fact holds: an edge of the description, or a rule applied to other facts."""

    rule: str
    edge: Edge | None = None
    premises: tuple[Fact, ...] = ()

    @property
    def giver(self) -> Node | None:
        """Who passed on a cap of its own free will, if that is how it came about."""
        if self.rule in (GRANT, MAP_FOR, CONFIGURE):
            return self.premises[0].subject
        return self.premises[0].object if self.rule == REPLY else None


Consequence = tuple[Fact, Derivation]
PassesOn = Callable[[Node, Right, Node], bool]
"""Whether a domain passes on, of itself, a cap with a right over something."""

# Memory is mapped by the initial task; a protection domain holds no frame cap to pass on.
_MEMORY = {Right.READ, Right.WRITE, Right.EXECUTE}
_NOT_TRANSFERABLE = {Right.SIGNAL, Right.FAULT}
_INTERCEPTED = {
    Right.RECEIVE: {Right.CALL, Right.SEND, Right.GRANT, Right.FAULT},
    Right.WAIT: {Right.NOTIFY, Right.SIGNAL},
}
_MAPPED = {Right.FRAME_READ: (Right.READ, Right.EXECUTE), Right.FRAME_WRITE: (Right.WRITE,)}
_MAPPED_FOR = {**_MAPPED, Right.RETYPE: (Right.READ, Right.WRITE, Right.EXECUTE)}
_CONFIGURED = {
    right: right
    for right in (Right.CSPACE, Right.VSPACE, Right.RETYPE, Right.FRAME_READ, Right.FRAME_WRITE, Right.WAIT)
} | {Right.CALL: Right.FAULT}
"""What a thread comes to by what it is configured with. Of memory its CNodes, page tables and frames can be made."""
_ALWAYS_SPREADING = {Right.CONTROL, Right.CSPACE, Right.VSPACE, *_INTERCEPTED}


def everybody_passes_on(giver: Node, right: Right, object: Node) -> bool:
    """Nobody is trusted."""
    return True


def close(graph: AuthorityGraph, passes_on: PassesOn = everybody_passes_on) -> dict[Fact, Derivation]:
    """Every right that anybody may come to exercise, each with its first reason found."""
    known = _Known()
    waiting = deque(fact for fact, derivation in _premises(graph) if known.add(fact, derivation))
    while waiting:
        for fact, derivation in list(_consequences(waiting.popleft(), known)):
            given_by = derivation.giver
            if given_by is not None and not passes_on(given_by, fact.right, fact.object):
                continue
            if known.add(fact, derivation):
                waiting.append(fact)
    return known.facts


def _premises(graph: AuthorityGraph) -> Iterator[Consequence]:
    for edge in graph.edges:
        yield Fact(edge.subject, edge.right, edge.object), Derivation(GIVEN, edge)
    if any(edge.right is Right.CSPACE for edge in graph.edges):
        for pd in graph.system.protection_domains:
            for edge in _own_caps(graph, pd):
                yield Fact(edge.subject, edge.right, edge.object), Derivation(OWN, edge)


def _own_caps(graph: AuthorityGraph, pd: ProtectionDomain) -> Iterator[Edge]:
    """What Microkit gives a domain on itself. It matters where somebody can copy or receive it."""
    node = pd_node(pd.name)
    called = receives_messages(graph.system, graph.grants, pd.name)
    yield Edge(node, Right.RECEIVE if called else Right.WAIT, node, "its own input", pd.where)
    if graph.system.platform.benchmark:
        yield Edge(node, Right.CONTROL, node, "its own TCB", pd.where)
    for mapping in pd.cap_mappings:
        if mapping.pd == pd.name:
            reason = f"cap_{mapping.kind.value} in slot {mapping.slot}"
            yield Edge(node, CAP_RIGHTS[mapping.kind], node, reason, mapping.where)


@frozen
class _Known:
    """The facts so far, findable by subject and by object.

    ``receivers`` says why each can receive caps, ``runners`` why each has a thread that can run in another VSpace.
    """

    facts: dict[Fact, Derivation] = field(factory=dict)
    by_subject: dict[Node, list[Fact]] = field(factory=dict)
    into: dict[Node, list[Fact]] = field(factory=dict)
    receivers: dict[Node, Fact] = field(factory=dict)
    runners: dict[Node, Fact] = field(factory=dict)

    def add(self, fact: Fact, derivation: Derivation) -> bool:
        """Whether the fact is new."""
        if fact in self.facts:
            return False
        self.facts[fact] = derivation
        self.by_subject.setdefault(fact.subject, []).append(fact)
        self.into.setdefault(fact.object, []).append(fact)
        if fact.right is Right.CSPACE:
            self.receivers.setdefault(fact.subject, fact)
        if fact.right in (Right.CONTROL, Right.SPEND):
            self.runners.setdefault(_runner(fact), fact)
        return True

    def of(self, subject: Node) -> list[Fact]:
        """What is known of a subject."""
        return self.by_subject.get(subject, [])

    def spreads(self, fact: Fact) -> bool:
        """Whether another right may follow from this one and some right."""
        match fact.right:
            case Right.GRANT:
                return fact.object in self.receivers
            case Right.CALL:
                return fact.subject in self.receivers
            case right:
                return right in _ALWAYS_SPREADING

    def seconds(self, first: Fact) -> Iterator[Fact]:
        """The facts that may yield something together with ``first``, which spreads."""
        yield from self.of(first.object)
        if first.right in _INTERCEPTED:
            yield from self.into.get(first.object, ())
        else:
            yield from self.of(first.subject)

    def firsts(self, second: Fact) -> Iterator[Fact]:
        """The facts that may yield something together with ``second``."""
        yield from filter(self.spreads, self.into.get(second.subject, ()))
        yield from filter(self.spreads, self.of(second.subject))
        yield from (fact for fact in self.into.get(second.object, ()) if fact.right in _INTERCEPTED)

    def opened_by(self, fact: Fact) -> Iterator[Fact]:
        """What spreads now that the fact makes a receiver of a domain, or a runner."""
        if fact.right is Right.CSPACE and self.receivers[fact.subject] == fact:
            yield from (call for call in self.of(fact.subject) if call.right is Right.CALL)
            yield from (message for message in self.into.get(fact.subject, ()) if message.right is Right.GRANT)
        if fact.right in (Right.CONTROL, Right.SPEND) and self.runners[_runner(fact)] == fact:
            yield from (space for space in self.of(_runner(fact)) if space.right is Right.VSPACE)


def _runner(fact: Fact) -> Node:
    """Whose thread can be made to run elsewhere: who is controlled, or who has time for a thread of its own."""
    return fact.object if fact.right is Right.CONTROL else fact.subject


def _consequences(fact: Fact, known: _Known) -> Iterator[Consequence]:
    """What follows from a fact alone and together with those known."""
    for right in _MAPPED.get(fact.right, ()):
        yield Fact(fact.subject, right, fact.object), Derivation(MAP, premises=(fact,))
    for first, second in _pairs(fact, known):
        rule = _rule(first, second)
        if rule is not None:
            premises = (first, second, *_receivership(first, known))
            yield rule[1], Derivation(rule[0], premises=premises)
        if first.right is Right.VSPACE:
            yield from _by_vspace(first, second, known)


def _pairs(fact: Fact, known: _Known) -> Iterator[tuple[Fact, Fact]]:
    if known.spreads(fact):
        yield from ((fact, second) for second in known.seconds(fact))
    yield from ((first, fact) for first in known.firsts(fact))
    for first in known.opened_by(fact):
        yield from ((first, second) for second in known.seconds(first))


def _by_vspace(first: Fact, second: Fact, known: _Known) -> Iterator[Consequence]:
    """What follows from holding a VSpace: its domain gets memory, or the holder's thread gets what is mapped there."""
    if second.subject == first.subject and first.object != first.subject:
        for right in _MAPPED_FOR.get(second.right, ()):
            yield Fact(first.object, right, second.object), Derivation(MAP_FOR, premises=(first, second))
    if second.subject == first.object and second.right in _MEMORY and first.subject in known.runners:
        premises = (first, second, known.runners[first.subject])
        yield Fact(first.subject, second.right, second.object), Derivation(RUN, premises=premises)


def _receivership(first: Fact, known: _Known) -> tuple[Fact, ...]:
    """Why the one who gets a cap by a message can receive it."""
    match first.right:
        case Right.GRANT:
            return (known.receivers[first.object],)
        case Right.CALL:
            return (known.receivers[first.subject],)
    return ()


def _rule(first: Fact, second: Fact) -> tuple[str, Fact] | None:
    """What two facts yield, of which the first spreads, and the rule's name."""
    held, taken = second.subject == first.subject, second.subject == first.object
    match first.right:
        case Right.CONTROL if taken and second.object != first.subject:
            return TAKE, Fact(first.subject, second.right, second.object)
        case Right.CONTROL if held and second.right in _CONFIGURED and second.object != first.object:
            return CONFIGURE, Fact(first.object, _CONFIGURED[second.right], second.object)
        case Right.CSPACE if taken and _transferable(second):
            return TAKE, Fact(first.subject, second.right, second.object)
        case Right.CSPACE | Right.GRANT if held and _transferable(second):
            return GRANT, Fact(first.object, second.right, second.object)
        case Right.CALL if taken and _transferable(second):
            return REPLY, Fact(first.subject, second.right, second.object)
        case Right.RECEIVE | Right.WAIT as right if second.object == first.object:
            if second.right in _INTERCEPTED[right]:
                return RECEIVE, Fact(second.subject, second.right, first.subject)
    return None


def _transferable(fact: Fact) -> bool:
    """Whether the right rests on a cap that its holder can send in a message."""
    if fact.right in _NOT_TRANSFERABLE:
        return False
    return fact.right not in _MEMORY or fact.object.kind is NodeKind.IOPORTS
