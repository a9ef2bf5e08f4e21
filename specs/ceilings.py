"""A declared ceiling held against a running system: the policy of G29 for what a description has become.

What a description says of domains and regions is said here of the memory that they have, and its rights become the
authority that G29 finds in caps, threads' states and page tables:

| a right in a description         | what may be found                                                               |
|----------------------------------|---------------------------------------------------------------------------------|
| call, fault                      | caps to send and call; the callee's reply cap, which may bring caps, and delete |
|                                  | what it derived                                                                 |
| send, grant, notify              | caps to send, to send caps, to signal                                           |
| receive, wait                    | caps to receive; being bound or waiting there                                   |
| control, cspace, vspace,         | caps to TCBs, CNodes, page tables,                                              |
| assign, schedule, spend          | ASID pools, scheduling contexts                                                 |
| retype                           | caps to the untyped, and whatever caps to what is made of it give               |
| read, write, execute, frame-…    | mappings, frame caps                                                            |

Whoever shares an object with another may delete what the other has derived, and any cap to an endpoint resets its
queue by being the last: that comes with the sharing. The initial task, which built it all and rebuilds it, is bounded
by nothing, and everybody may speak to it.
"""

from collections.abc import Iterable, Iterator
from itertools import product

from capkernel.runtime.described import DescribedSystem
from capkernel.system.authority import DEBUG, AuthorityGraph, Node, NodeKind, Right
from capkernel.system.ceiling import Ceiling
from capkernel.system.closure import Closure
from capkernel.system.grants import GrantKind
from hwmodel.cpu.trap import Trap
from specs.invariants import authority as auth
from specs.invariants.authority import Edge, Policy
from specs.invariants.regions import region
from specs.live_authority import LiveAuthority
from specs.sampling import Sampler

BOOT = "the initial task"
_FOUND: dict[Right, tuple[str, ...]] = {
    Right.READ: (auth.READ,),
    Right.WRITE: (auth.READ, auth.WRITE),
    Right.EXECUTE: (auth.READ,),
    Right.NOTIFY: (auth.NOTIFY, auth.RESET),
    Right.CALL: (auth.SEND, auth.CALL, auth.RESET),
    Right.FAULT: (auth.SEND, auth.CALL, auth.GRANT, auth.RESET),
    Right.CONTROL: (auth.CONTROL,),
    Right.SCHEDULE: (auth.CONTROL,),
    Right.VSPACE: (auth.CONTROL,),
    Right.SIGNAL: (),
    Right.ACKNOWLEDGE: (auth.ACKNOWLEDGE,),
    Right.SEND: (auth.SEND, auth.RESET),
    Right.GRANT: (auth.SEND, auth.GRANT, auth.RESET),
    Right.RECEIVE: (auth.RECEIVE, auth.RESET),
    Right.WAIT: (auth.RECEIVE, auth.RESET),
    Right.CSPACE: (auth.CONTROL,),
    Right.FRAME_READ: (auth.READ,),
    Right.FRAME_WRITE: (auth.WRITE,),
    Right.RETYPE: auth.ALL,
    Right.ANSWER: (auth.REPLY,),
    Right.LIFECYCLE: (),
    Right.ASSIGN: (auth.CONTROL,),
    Right.SPEND: (auth.CONTROL,),
}
_TO_BOOT = (auth.SEND, auth.CALL, auth.GRANT, auth.NOTIFY, auth.RESET)
_ANSWERED = (Right.CALL, Right.FAULT)


def foreseen(graph: AuthorityGraph) -> Ceiling:
    """The ceiling that follows from a description alone: all that ``check`` says may come about, and no more."""
    facts = Closure(graph).facts
    bound = Ceiling({}, frozenset(), {})
    return Ceiling({}, frozenset((bound.label(f.subject), f.right, bound.label(f.object)) for f in facts), {})


def live_policy(system: DescribedSystem, graph: AuthorityGraph, ceiling: Ceiling) -> Policy:
    """What G29 holds a system against, from when all its domains have been started."""
    described = system.system
    labels = sorted({ceiling.label(node) for node in graph.nodes})
    edges = frozenset(_edges(ceiling, labels))
    areas = _merged(
        (*where, ceiling.label(node)) for node, cap in system.memory if (where := region(cap)) is not None
    )
    lines = {
        irq.number: ceiling.label(Node(str(irq.number), NodeKind.IRQ))
        for pd in described.protection_domains for irq in pd.irqs
    }  # fmt: skip
    devices = {
        space.device.request_id: ceiling.label(Node(space.name, NodeKind.IO_SPACE))
        for space in described.io_address_spaces
    }
    setters = {ceiling.label(Node(g.pd, NodeKind.PD)) for g in graph.grants if g.kind is GrantKind.SCHED_CONTROL}
    holders = {"sched_control": frozenset(setters)}
    return Policy(areas=areas, edges=edges, holders=holders, lines=lines, devices=devices, default=BOOT)


def _edges(ceiling: Ceiling, labels: list[str]) -> Iterator[Edge]:
    reaches: dict[str, set[str]] = {label: {label} for label in labels}
    for subject, object_ in product(labels, labels):
        rights = [right for right in Right if ceiling.allows(subject, right, object_)]
        found = {name for right in rights for name in _FOUND[right]}
        reaches[subject] |= {object_} if found else set()
        yield from (Edge(subject, name, object_) for name in found)
        if any(right in _ANSWERED for right in rights):
            yield Edge(object_, auth.REPLY, subject)
            yield Edge(object_, auth.GRANT, subject)
            yield Edge(object_, auth.DELETE_DERIVED, subject)
    for one, other in product(labels, labels):
        if reaches[one] & reaches[other]:
            yield Edge(one, auth.DELETE_DERIVED, other)
    yield from (Edge(label, name, BOOT) for label in labels for name in _TO_BOOT)


def _merged(areas: Iterable[tuple[int, int, str]]) -> tuple[tuple[int, int, str], ...]:
    """The same areas, those of one label that follow on each other as one."""
    found: list[tuple[int, int, str]] = []
    for start, end, label in sorted(areas):
        if found and found[-1][1:] == (start, label):
            start = found.pop()[0]
        found.append((start, end, label))
    return tuple(found)


class CeilingSampler(Sampler):
    """Holds live authority against a ceiling after every kernel entry, from when the system is built.

    All invariants are checked after every ``every``-th one, G29 from scratch among them. ``judged`` counts the entries
    after which the authority was looked at.
    """

    def __init__(self, system: DescribedSystem, graph: AuthorityGraph, ceiling: Ceiling, every: int) -> None:
        super().__init__(system.loop, system.machine, every)
        self._system, self._graph, self._ceiling = system, graph, ceiling
        self._live: LiveAuthority | None = None

    @property
    def judged(self) -> int:
        """After how many kernel entries the live authority was held against the ceiling."""
        return 0 if self._live is None else self._live.looks

    def policy(self) -> Policy | None:
        """What G29 is held against; None while the system is being built."""
        if self._live is None and self._system.ready:
            policy = live_policy(self._system, self._graph, self._ceiling)
            self._live = LiveAuthority(self.loop.state, self.machine, policy)
            self.violations += self._debug_calls()
        return None if self._live is None else self._live.policy

    def _debug_calls(self) -> list[str]:
        """Who may make them and should not: they need no cap, so nothing is to be seen of them in the state."""
        edges = [edge for edge in self._graph.edges if edge.object == DEBUG]
        label = self._ceiling.label
        return [
            f"{edge.subject} may make debug calls, which the ceiling does not allow"
            for edge in edges
            if not self._ceiling.allows(label(edge.subject), edge.right, label(edge.object))
        ]

    def after(self, trap: Trap) -> None:
        """The kernel has dealt with a trap."""
        super().after(trap)
        if self.violations or self.policy() is None or self._live is None:
            return
        self.violations += [f"at kernel entry {self.loop.entries}: {problem}" for problem in self._live.look()]
