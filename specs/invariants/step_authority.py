"""What a step may change of others' things: T1 and T2.

Who acts is the label of the thread whose system call or fault it is; what it may change follows from the declared
policy alone. Interrupts act for nobody and are not judged; the passing of time wakes and charges anybody. Catches: a
call that reaches an object, a slot, a thread or memory of a label over which the caller has no authority.
"""

from collections.abc import Iterator
from typing import Any

from capkernel.abi import message as msg
from capkernel.kernel import objects as ko
from capkernel.kernel.objects import NULL, TCB, Slot
from hwmodel.cpu.trap import INTERRUPTED
from specs.invariants.authority import (
    AUTHORITY,
    CALL,
    CONTROL,
    DELETE_DERIVED,
    GRANT,
    NOTIFY,
    RECEIVE,
    REPLY,
    RESET,
    SEND,
    Edge,
    Policy,
    above,
    authority_graph,
    is_allowed,
)
from specs.invariants.model import first
from specs.invariants.step import Step
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import name_of

_CHANNELS = (SEND, RECEIVE, NOTIFY, CALL, GRANT, RESET)
_OF_TIME = frozenset(("queue_next", "queue_prev", "queued", "refills", "consumed", "ipc_buffer", "name"))
"""What the passing of time changes, and what says nothing."""
_GLOBAL = ("asid_table", "domain_schedule", "domain_start", "io_contexts", "irq_states")


class _Actor:
    """Whoever acts in a step, and what the policy lets them do."""

    def __init__(self, step: Step, policy: Policy) -> None:
        self.step, self.policy = step, policy
        self.label = policy.label(step.caller.paddr)

    def may(self, authority: str, target: str, subject: str = "") -> bool:
        return is_allowed(Edge(subject or self.label, authority, target), self.policy)

    def talks_through(self, channel: Any) -> bool:
        """Whether the actor may use, or reset, an endpoint or notification."""
        label = self.policy.label(channel.paddr)
        return any(self.may(authority, label) for authority in _CHANNELS)

    def meets(self, other: str) -> bool:
        """Whether there is something through which both may send or receive, or a reply is due."""
        if self.may(REPLY, other) or self.may(REPLY, self.label, other):
            return True
        places = {edge.target for edge in self.policy.edges if edge.authority in _CHANNELS}
        return any(
            any(self.may(a, place) for a in _CHANNELS) and any(self.may(a, place, other) for a in _CHANNELS)
            for place in places
        )

    def reaches(self, thread: TCB) -> bool:
        """Whether what a thread of somebody else waits for can come from the actor."""
        before = self.step.before
        waited = [before.of(thread, "state"), before.of(thread, "bound_notification")]
        for value in waited:
            channel = getattr(value, "endpoint", None) or getattr(value, "notification", None) or value
            if isinstance(channel, ko.Endpoint | ko.Notification) and self.talks_through(channel):
                return True
        return self.may(REPLY, self.policy.label(thread.paddr))


def integrity(step: Step) -> str | None:
    """T1 ``integrity``: every changed object is one that the acting label may change (integrity_subjects)."""
    policy = step.after.policy
    if not isinstance(policy, Policy) or step.trap.kind == INTERRUPTED:
        return None
    actor = _Actor(step, policy)
    if actor.label == policy.default:
        return None
    found = [*_objects(actor), *_slots(actor), *_memory(actor), *_globals(actor)]
    return first([f"{actor.label} changed {what}" for what in found])


def _objects(actor: _Actor) -> Iterator[str]:
    step, policy = actor.step, actor.policy
    now = step.now.objects
    for item, old in step.before.objects.items():
        new = now.get(item)
        if new is old:
            continue
        label = policy.label(item.paddr) if hasattr(item, "paddr") else actor.label
        if actor.may(CONTROL, label) or new == old or new is None or label == policy.default:
            continue
        changed = {name for name, value in old.items() if new[name] != value} - _OF_TIME
        if changed and not _may_change(actor, item, label, changed):
            yield f"{name_of(item)} of {label} ({', '.join(sorted(changed))})"


def _may_change(actor: _Actor, item: Any, label: str, changed: set[str]) -> bool:
    if isinstance(item, ko.Endpoint | ko.Notification):
        return actor.talks_through(item)
    if isinstance(item, TCB):
        return actor.reaches(item) or _only_begins(actor.step, item, changed)
    return isinstance(item, ko.SchedContext | ko.Reply) and actor.meets(label)


def _only_begins(step: Step, thread: TCB, changed: set[str]) -> bool:
    """Whether all that happened to a thread is that it was its turn to start over."""
    return step.before.of(thread, "state") is ko.RESTART and changed <= {"state", "registers"}


def _slots(actor: _Actor) -> Iterator[str]:
    for slot, (old, new) in actor.step.recapped.items():
        owner = actor.policy.label(slot.container.paddr)
        if old == new or actor.may(CONTROL, owner) or owner == actor.policy.default:
            continue
        if not (_may_take(actor, owner) if new is NULL else _may_give(actor, owner)):
            yield f"the cap in {_place(slot)} of {owner}"


def _place(slot: Slot) -> str:
    return f"{name_of(slot.container)}[{slot.index}]"


def _may_take(actor: _Actor, owner: str) -> bool:
    return actor.may(DELETE_DERIVED, owner)


def _may_give(actor: _Actor, owner: str) -> bool:
    places = {edge.target for edge in actor.policy.edges if edge.authority == GRANT}
    given = any(actor.may(GRANT, place) and actor.may(RECEIVE, place, owner) for place in places)
    return given or (actor.may(REPLY, owner) and actor.may(GRANT, owner))


def _memory(actor: _Actor) -> Iterator[str]:
    """Whose memory the kernel wrote to: the actor's, or the IPC buffer of somebody that the actor reaches."""
    step, policy = actor.step, actor.policy
    others = ((thread, buffer) for thread, buffer in step.buffers.items() if thread is not step.caller)
    buffers = {start >> msg.IPC_BUFFER_BITS: thread for thread, (start, writable) in others if writable}
    for effect, *args in step.recorder.effects:
        if effect not in ("write_word", "write_bytes", "clear"):
            continue
        address = args[0]
        label = policy.label(address)
        if actor.may(CONTROL, label) or label == policy.default:
            continue
        thread = buffers.get(address >> msg.IPC_BUFFER_BITS)
        if thread is None or not (actor.reaches(thread) or _is_answered(step, thread)):
            yield f"memory of {label} at {address:#x}"


def _is_answered(step: Step, thread: TCB) -> bool:
    """Whether a thread that waited for time, which it has now, is given its answer."""
    return step.before.of(thread, "yield_to") is not None or _only_begins(step, thread, set())


def _globals(actor: _Actor) -> Iterator[str]:
    """What concerns everybody changes only through caps that somebody was declared to hold."""
    step = actor.step
    if any(actor.label in holders for holders in actor.policy.holders.values()):
        return
    for name in _GLOBAL:
        if step.before.kernel[name] != step.now.kernel[name]:
            yield f"the kernel's {name}"


def authority_does_not_grow(step: Step) -> str | None:
    """T2 ``pas_refined`` is preserved: an edge that is new after a step lies under the declared ceiling."""
    policy = step.after.policy
    if not isinstance(policy, Policy) or step.authority is None:
        return None
    return first(above(authority_graph(step.after, policy) - step.authority, policy))


CHECKS = (
    StepInvariant("T1", "integrity", "every changed object is one that the acting label may change", integrity),
    StepInvariant("T2", "pas_refined_preserved", "a new edge of authority lies under the ceiling",
                  authority_does_not_grow, reads=AUTHORITY),
)  # fmt: skip
