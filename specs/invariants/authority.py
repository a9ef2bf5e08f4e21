"""Who may do what to whom: G27, G29.

Objects have labels (one a protection domain, by the memory they lie in). The authority graph is recomputed from the
caps, the threads' states, the derivation tree, the page tables and those of devices, and held against a declared
ceiling. Catches: any way in which authority reaches a label that the system description did not give it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from capkernel.abi import rights as rt
from capkernel.kernel import caps as kc
from capkernel.kernel import objects as ko
from capkernel.kernel.objects import Cap, Slot
from hwmodel import iommu
from specs.invariants.model import Invariant, first
from specs.invariants.parts import CAPS, IOMMU, TABLES, parts
from specs.invariants.regions import region
from specs.invariants.remembering import remembered
from specs.invariants.view import View

AUTHORITY = CAPS | TABLES | IOMMU | parts("TCB.state TCB.bound_notification Reply.tcb")
"""The parts of a state that confer authority."""
SEND, RECEIVE, NOTIFY, CALL, GRANT, REPLY = "send", "receive", "notify", "call", "grant", "reply"
READ, WRITE, CONTROL, DELETE_DERIVED = "read", "write", "control", "delete_derived"
ACKNOWLEDGE = "acknowledge"
RESET = "reset"
"""To let threads that are queued start over: any cap to an endpoint or notification can, by being the last deleted."""
ALL = (
    SEND, RECEIVE, NOTIFY, CALL, GRANT, REPLY, READ, WRITE, CONTROL, DELETE_DERIVED, ACKNOWLEDGE, RESET,
)  # fmt: skip


class Edge(NamedTuple):
    """``subject`` may do ``authority`` to ``target``; both are labels."""

    subject: str
    authority: str
    target: str


@dataclass(frozen=True)
class Policy:
    """What a system description declares.

    ``areas`` are (first, end, label) of physical memory, the smallest that holds an address counts; whatever lies in
    none belongs to ``default``. ``edges`` is the ceiling; a label may always do anything to itself. ``holders`` says,
    for the four kinds of cap that concern everybody, which labels may hold one. ``lines`` and ``devices`` are the
    labels of interrupt lines by number and of devices by request id, ``default`` if they have none. ``default`` itself,
    that is who built the system and no longer runs, is bounded by nothing.
    """

    areas: tuple[tuple[int, int, str], ...]
    edges: frozenset[Edge]
    holders: Mapping[str, frozenset[str]] = field(default_factory=dict)
    lines: Mapping[int, str] = field(default_factory=dict)
    devices: Mapping[int, str] = field(default_factory=dict)
    default: str = "boot"
    _starts: list[int] = field(default_factory=list, init=False, repr=False, compare=False)
    """Where labels change,"""
    _labels: list[str] = field(default_factory=list, init=False, repr=False, compare=False)
    """and the labels before, between and behind those addresses."""
    _found: dict[int, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Labels by address, of those that were asked for."""

    def __post_init__(self) -> None:
        starts = sorted({edge for start, end, _ in self.areas for edge in (start, end)})
        labels = [self.default] * (len(starts) + 1)
        for start, end, label in sorted(self.areas, key=lambda area: area[0] - area[1]):
            first, last = bisect_left(starts, start) + 1, bisect_left(starts, end) + 1
            labels[first:last] = [label] * (last - first)
        self._starts.extend(starts)
        self._labels.extend(labels)

    def label(self, paddr: int) -> str:
        """The label of what lies at a physical address."""
        found = self._found.get(paddr)
        if found is None:
            found = self._found[paddr] = self._labels[bisect_right(self._starts, paddr)]
        return found


_CONTROL_CAPS = (
    kc.UntypedCap, kc.CNodeCap, kc.ThreadCap, kc.ZombieCap, kc.SchedContextCap, kc.PageTableCap, kc.ASIDPoolCap,
    kc.IOPageTableCap,
)  # fmt: skip


@remembered
def conferred(cap: Cap) -> list[str]:
    """What a cap lets its holder do to what it refers to (cap_auth_conferred)."""
    if isinstance(cap, _CONTROL_CAPS):
        return [CONTROL]
    if isinstance(cap, kc.EndpointCap):
        kinds = ((rt.READ, RECEIVE), (rt.WRITE, SEND), (rt.GRANT, GRANT), (rt.GRANT_REPLY, CALL))
        return [RESET] + [name for bit, name in kinds if cap.rights & bit]
    if isinstance(cap, kc.NotificationCap):
        return [RESET] + [name for bit, name in ((rt.READ, RECEIVE), (rt.WRITE, NOTIFY)) if cap.rights & bit]
    if isinstance(cap, kc.ReplyCap):
        return [REPLY]
    if isinstance(cap, kc.FrameCap):
        return [name for bit, name in ((rt.READ, READ), (rt.WRITE, WRITE)) if cap.rights & bit]
    return []


def authority_graph(view: View, policy: Policy) -> frozenset[Edge]:
    """Who can do what to whom now, by everything that confers authority (state_objs_to_policy)."""
    if view.authority is not None and policy is view.policy:
        return view.authority
    states = by_state(view.threads, view.caps_by_kind[kc.ReplyCap], policy)
    fixed = view.once(_by_caps) if policy is view.policy else by_caps(view, policy)
    graph = frozenset(fixed | states | by_mapping(view, policy))
    if policy is view.policy:
        view.authority = graph
    return graph


def _by_caps(view: View) -> set[Edge]:
    assert isinstance(view.policy, Policy)
    return by_caps(view, view.policy)


def by_caps(view: View, policy: Policy) -> set[Edge]:
    """By the caps in slots, and by what is derived from what."""
    places = view.tree.places
    return {edge for slot in view.slots for edge in by_slot(slot, places[slot].parent, policy)}


def by_slot(slot: Slot, parent: Slot | None, policy: Policy) -> Iterator[Edge]:
    """By the cap in one slot, and by its having been derived from what is in another."""
    cap, label = slot.cap, policy.label
    holder, where = label(slot.container.paddr), region(cap)
    if where is not None:
        target = label(where[0])
        yield from (Edge(holder, authority, target) for authority in conferred(cap))
    if isinstance(cap, kc.IRQHandlerCap):
        yield Edge(holder, ACKNOWLEDGE, policy.lines.get(cap.irq, policy.default))
    if isinstance(cap, kc.IOSpaceCap):
        yield Edge(holder, CONTROL, policy.devices.get(cap.request_id, policy.default))
    if parent is not None:
        yield Edge(label(parent.container.paddr), DELETE_DERIVED, holder)


def by_state(threads: Iterable[ko.TCB], replies: Iterable[Slot], policy: Policy) -> set[Edge]:
    """By what threads are doing and are bound to, and by who waits in the reply objects that slots have caps to."""
    label = policy.label
    edges = {Edge(label(tcb.paddr), authority, label(item.paddr)) for tcb in threads for authority, item in _doing(tcb)}
    for slot in replies:
        if isinstance(slot.cap, kc.ReplyCap) and slot.cap.reply.tcb is not None:
            edges.add(Edge(label(slot.container.paddr), REPLY, label(slot.cap.reply.tcb.paddr)))
    return edges


def _doing(tcb: ko.TCB) -> list[tuple[str, Any]]:
    """What a thread is doing, and is bound to, that is authority in itself."""
    state = tcb.state
    found: list[tuple[str, Any]] = []
    if isinstance(state, ko.BlockedOnSend):
        found.append((SEND, state.endpoint))
        found += [(GRANT, state.endpoint)] if state.can_grant else []
        found += [(CALL, state.endpoint)] if state.can_grant_reply and state.is_call else []
    elif isinstance(state, ko.BlockedOnReceive):
        found.append((RECEIVE, state.endpoint))
    elif isinstance(state, ko.BlockedOnNotification):
        found.append((RECEIVE, state.notification))
    if tcb.bound_notification is not None:
        found.append((RECEIVE, tcb.bound_notification))
    return found


def by_mapping(view: View, policy: Policy) -> set[Edge]:
    """By mappings: whoever owns the root table reads and writes the page, and so does a device."""
    edges = set()
    for space in view.spaces.values():
        owner = policy.label(space.root)
        for leaf in space.leaves.values():
            target = policy.label(leaf.paddr)
            edges |= {Edge(owner, READ, target)} if leaf.readable else set()
            edges |= {Edge(owner, WRITE, target)} if leaf.writable else set()
    for device, mappings in view.io_spaces.items():
        owner = policy.devices.get(device, policy.default)
        for mapping in mappings:
            target = policy.label(mapping.paddr)
            edges |= {Edge(owner, READ, target)} if mapping.rights & iommu.READ else set()
            edges |= {Edge(owner, WRITE, target)} if mapping.rights & iommu.WRITE else set()
    return edges


def is_allowed(edge: Edge, policy: Policy) -> bool:
    """Whether an edge lies under a ceiling."""
    return edge.subject in (edge.target, policy.default) or edge in policy.edges


def above(edges: Iterable[Edge], policy: Policy) -> list[str]:
    """What of a graph a ceiling does not allow, in words."""
    extra = sorted(edge for edge in edges if not is_allowed(edge, policy))
    return [f"{e.subject} has {e.authority} over {e.target}, which no policy gives it" for e in extra]


def pas_refined(view: View) -> str | None:
    """G29 ``pas_refined``: the recomputed authority graph lies under the declared ceiling."""
    policy = view.policy
    if not isinstance(policy, Policy):
        return None
    return first(above(authority_graph(view, policy), policy))


GLOBAL_CAPS: dict[str, type[Cap]] = {
    "domain": kc.DomainCap, "sched_control": kc.SchedControlCap, "irq_control": kc.IRQControlCap,
    "asid_control": kc.ASIDControlCap,
}  # fmt: skip
"""Kinds of cap whose use concerns everybody, by their name in ``Policy.holders``."""


def misheld(slots: Iterable[Slot], policy: Policy) -> list[str]:
    """Which of these slots hold such a cap and may not, in words."""
    problems = []
    for slot in slots:
        holder = policy.label(slot.container.paddr)
        for name, kind in GLOBAL_CAPS.items():
            if type(slot.cap) is kind and holder not in policy.holders.get(name, ()) and holder != policy.default:
                problems.append(f"{holder} holds a {name} cap")
    return problems


def global_caps_are_held_as_declared(view: View) -> str | None:
    """G27: Domain, SchedControl, IRQControl and ASIDControl caps are held only where the description allows."""
    policy = view.policy
    if not isinstance(policy, Policy):
        return None
    return first(misheld((slot for kind in GLOBAL_CAPS.values() for slot in view.caps_by_kind[kind]), policy))


def ill_formed(policy: Policy) -> list[str]:
    """What a declared policy must not say: the conditions under which seL4's theorems speak of it.

    Control is reflexive only. Grant with Receive gives mutual control. Call with Receive implies Reply, and
    Reply implies that the replier may delete derived caps.
    """
    edges = policy.edges
    problems = [f"{e.subject} controls {e.target}" for e in edges if e.authority == CONTROL and e.subject != e.target]
    receivers = [edge for edge in edges if edge.authority == RECEIVE]
    for edge in edges:
        for other in receivers:
            if other.target != edge.target or other.subject == edge.subject:
                continue
            if edge.authority == GRANT:
                problems.append(f"{edge.subject} may grant to {other.subject} through {edge.target}")
            if edge.authority == CALL and Edge(other.subject, REPLY, edge.subject) not in edges:
                problems.append(f"{other.subject} may be called by {edge.subject} but not reply")
        if edge.authority == REPLY and Edge(edge.subject, DELETE_DERIVED, edge.target) not in edges:
            problems.append(f"{edge.subject} may reply to {edge.target} but not delete what it derived")
    return sorted(problems)


CHECKS = (
    Invariant("G27", "global_caps_are_held_as_declared",
              "Domain, SchedControl, IRQControl and ASIDControl caps are held only where the description allows",
              global_caps_are_held_as_declared, reads=CAPS),
    Invariant("G29", "pas_refined", "the recomputed authority graph lies under the declared policy", pas_refined,
              reads=AUTHORITY),
)  # fmt: skip
