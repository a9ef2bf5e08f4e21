"""What a step destroys, and what becomes of memory: T5–T7.

Catches: a Revoke that leaves something behind or takes more than it should, an object that dies while caps lead to it
or lives on when none does, old contents in new frames, memory that is wiped under somebody's hands.
"""

from collections.abc import Callable
from typing import Any

from capkernel.abi import labels
from capkernel.kernel import caps as kc
from capkernel.kernel import objects as ko
from capkernel.kernel.objects import NULL, Cap, Slot
from specs.invariants import regions
from specs.invariants.parts import CAPS, REFERENCES, parts
from specs.invariants.regions import describe
from specs.invariants.step import Step
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import members, name_of

_REVOKES = (labels.CNODE_REVOKE, labels.CNODE_CANCEL_BADGED_SENDS)


def revoke_is_complete(step: Step) -> str | None:
    """T5: after Revoke(c) no descendant of c is left; after CancelBadgedSends(b) no sender is queued with badge b.

    (Revoke alone leaves queued senders, as in seL4.) That no mapping made through a descendant is left is G22.
    """
    if step.request.label not in _REVOKES or not step.completed or not isinstance(step.invoked, kc.CNodeCap):
        return None
    if step.request.label == labels.CNODE_REVOKE:
        for slot, cap in step.derived.items():
            if slot.cap is cap:
                return f"{name_of(slot)} {describe(cap)} survived the Revoke of what it was derived from"
    if step.request.label == labels.CNODE_CANCEL_BADGED_SENDS:
        cap = step.before.cap(step.operand)
        if isinstance(cap, kc.EndpointCap) and cap.badge:
            for thread in members(cap.endpoint.queue)[0]:
                if getattr(thread.state, "badge", None) == cap.badge:
                    return f"{name_of(thread)} is still queued with badge {cap.badge:#x}"
    return None


_MOVES = (labels.CNODE_MOVE, labels.CNODE_MUTATE, labels.CNODE_ROTATE)
_OWN_SLOTS = (ko.TCB, ko.SlotContainer)
"""Containers whose caps also go when they are replaced: those of TCBs, and the kernel's interrupt table."""


def caps_vanish_only_when_asked(step: Step) -> str | None:
    """T6b: a cap goes only if somebody deletes it, revokes what it was derived from, or destroys what it lies in."""
    gone = [(slot, cap) for slot, (cap, new) in step.recapped.items() if new is NULL]
    if not gone:
        return None
    kept = {id(cap) for cap in step.now.caps.values()}
    for slot, cap in gone:
        if id(cap) in kept or _has_moved(step, cap) or type(slot.container) in _OWN_SLOTS:
            continue
        if not _may_go(step, slot):
            return f"{name_of(slot)} {describe(cap)} is gone, though nobody asked for that"
    return None


def _has_moved(step: Step, cap: Cap) -> bool:
    """Whether a Move, Mutate or Rotate has put the cap elsewhere, with perhaps another guard."""
    if not step.completed or step.request.label not in _MOVES:
        return False
    return any(
        type(new) is type(cap) and regions.region(new) == regions.region(cap) for _, new in step.recapped.values()
    )


def _may_go(step: Step, slot: Slot) -> bool:
    if slot is step.operand or slot in step.derived or _is_destroyed(step, slot.container):
        return True
    # Whoever holds a zombie's slot empties it, whatever made the zombie; a replaced root may be a CNode's last cap.
    return isinstance(step.before.caps.get(slot), kc.ZombieCap)


def _is_destroyed(step: Step, container: ko.SlotContainer) -> bool:
    """Whether no cap leads to a container any more, other than that of its own destruction."""
    return all(isinstance(slot.cap, kc.ZombieCap) for slot in step.after.caps_to.get(container, []))


def destroyed_with_the_last_cap(step: Step) -> str | None:
    """T6: an object is destroyed if and only if its final cap is deleted.

    Destroyed: nobody waits on it, nothing is bound to it, it does nothing.
    """
    touched = step.now.touched if step.before.caps is step.now.caps else None
    for item in step.before.objects if touched is None else touched:
        kind = type(item)
        if kind not in _REMAINS or item is step.state.idle or item is step.state.idle_sc:
            continue
        caps = step.after.caps_to.get(item, [])
        if not caps or all(isinstance(slot.cap, kc.ZombieCap) for slot in caps):
            left = _REMAINS[kind](item)
            if left:
                return f"no cap leads to {name_of(item)} any more, but {left}"
        elif kind is ko.SchedContext and step.before.of(item, "refill_max") and not item.refill_max:
            return f"{name_of(item)} was destroyed, but {name_of(caps[0])} still leads to it"
    return None


def _left_of_endpoint(item: Any) -> str | None:
    return "threads wait on it" if item.queue.head is not None else None


def _left_of_notification(item: Any) -> str | None:
    if item.queue.head is not None:
        return "threads wait on it"
    return "something is bound to it" if item.bound_tcb is not None or item.sched_context is not None else None


def _left_of_thread(item: Any) -> str | None:
    if item.state is not ko.INACTIVE:
        return "it is not stopped"
    return "something is bound to it" if item.sched_context or item.bound_notification or item.yield_to else None


def _left_of_context(item: Any) -> str | None:
    return "something is bound to it" if item.tcb or item.notification or item.reply or item.yield_from else None


def _left_of_reply(item: Any) -> str | None:
    return "somebody waits on it" if item.tcb or item.next or item.prev else None


_REMAINS: dict[type, Callable[[Any], str | None]] = {
    ko.Endpoint: _left_of_endpoint, ko.Notification: _left_of_notification, ko.TCB: _left_of_thread,
    ko.SchedContext: _left_of_context, ko.Reply: _left_of_reply,
}  # fmt: skip
"""What would be left of an object that was not destroyed, by kind."""


def new_memory_is_zero(step: Step) -> str | None:
    """T7: retyped memory reads zero (device untypeds excepted): no old contents reach a new owner, by CPU or device."""
    if not isinstance(step.invoked, kc.UntypedCap):
        return None
    memory = step.after.machine.memory
    for slot, (old, cap) in step.recapped.items():
        if old is not NULL or not isinstance(cap, kc.FrameCap | kc.PageTableCap | kc.IOPageTableCap):
            continue
        start, end = regions.region(cap) or (0, 0)
        if not getattr(cap, "is_device", False) and memory.read(start, end - start).strip(b"\0"):
            return f"{name_of(slot)} {describe(cap)} is new but has old contents"
    return None


def wiped_memory_is_nobodys(step: Step) -> str | None:
    """T7b: memory is cleared only when nobody can reach it any more, so that nobody's stores are lost."""
    cleared = [args for name, *args in step.recorder.effects if name == "clear"]
    if not cleared:
        return None
    leaves = [leaf for space in step.after.spaces.values() for leaf in space.leaves.values()]
    for start, size in cleared:
        for leaf in leaves:
            if leaf.paddr < start + size and start < leaf.paddr + leaf.size:
                return f"{start:#x} was cleared, which is mapped at {leaf.vaddr:#x}"
    return None


CHECKS = (
    StepInvariant("T5", "revoke_is_complete", "no descendant survives a Revoke, no sender its badge's cancellation",
                  revoke_is_complete),
    StepInvariant("T6", "destroyed_with_the_last_cap", "an object is destroyed exactly when its last cap goes",
                  destroyed_with_the_last_cap, reads=CAPS | REFERENCES | parts("SchedContext.refill_max")),
    StepInvariant("T6b", "caps_vanish_only_when_asked", "a cap goes only by Delete, Revoke, or with what it lies in",
                  caps_vanish_only_when_asked, reads=CAPS),
    StepInvariant("T7", "new_memory_is_zero", "retyped memory reads zero", new_memory_is_zero, reads=CAPS),
    StepInvariant("T7b", "wiped_memory_is_nobodys", "memory is cleared only when nobody can reach it",
                  wiped_memory_is_nobodys, reads=parts("clears")),
)  # fmt: skip
