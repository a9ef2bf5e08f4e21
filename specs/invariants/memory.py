"""Objects and the memory they lie in: G2, G9–G12, G28.

Catches: use after free, an object that nothing can name or delete any more, overlapping objects, a watermark that lags
behind what was given out, kernel memory that nobody paid for, numbers that no 64-bit kernel could hold.
"""

from array import array
from itertools import pairwise
from typing import Any

from capkernel.abi import objects as obj
from capkernel.abi.registers import REGISTER_COUNT
from capkernel.abi.words import WORD_MASK
from capkernel.kernel import caps as kc
from capkernel.kernel import objects as ko
from capkernel.kernel.objects import Cap
from specs.invariants import regions
from specs.invariants.model import Invariant, first
from specs.invariants.parts import CAPS, REFERENCES
from specs.invariants.regions import describe
from specs.invariants.view import View, name_of

_EXPECTED: dict[str, tuple[type, ...]] = {
    "sched_context": (ko.SchedContext,), "yield_to": (ko.SchedContext,), "bound_notification": (ko.Notification,),
    "queue_next": (ko.TCB,), "queue_prev": (ko.TCB,), "queue.head": (ko.TCB,), "queue.tail": (ko.TCB,),
    "state.endpoint": (ko.Endpoint,), "state.notification": (ko.Notification,), "state.reply": (ko.Reply,),
    "bound_tcb": (ko.TCB,), "tcb": (ko.TCB,), "yield_from": (ko.TCB,), "notification": (ko.Notification,),
    "reply": (ko.Reply,), "prev": (ko.Reply,), "next": (ko.Reply, ko.SchedContext), "candidate": (ko.TCB,),
    "asid_table": (ko.ASIDPool,),
}  # fmt: skip
"""What each reference between objects may lead to."""


def _is_owned(view: View, item: Any) -> bool:
    """Whether a cap leads to the object, or it is one of the kernel's own."""
    return item in view.caps_to or item in (view.state.idle, view.state.idle_sc, view.state.irq_slots)


def no_dangling(view: View) -> str | None:
    """G2: every pointer in a live object leads to a live object of the right type.

    An object lives as long as a cap leads to it; what has none has been freed, whoever still points to it.
    """
    problems = []
    for owner, field, target in view.references:
        if type(target) not in _EXPECTED[field]:
            problems.append(f"{name_of(owner)}.{field} is a {type(target).__name__}")
        elif not _is_owned(view, target):
            problems.append(f"{name_of(owner)}.{field} leads to {name_of(target)}, which has no cap")
    return first(problems)


def live_objects_have_caps(view: View) -> str | None:
    """G11: a live object is reached by some cap (else its memory could never be got back)."""
    kinds = (ko.Endpoint, ko.Notification, ko.Reply, ko.ASIDPool)
    items = [item for kind in kinds for item in view.of_kind(kind)] + view.threads + view.sched_contexts
    return first([f"no cap leads to {name_of(item)}" for item in items if item not in view.caps_to])


def slots_have_owner(view: View) -> str | None:
    """G12: the CNode (TCB) of a non-empty slot is reached by some cap; indices stay inside it."""
    problems = []
    for slot in view.slots:
        container = slot.container
        if not _is_owned(view, container):
            problems.append(f"{name_of(slot)} holds {describe(slot.cap)} but no cap leads to its container")
        if container.slots.get(slot.index) is not slot:
            problems.append(f"{name_of(slot)} is not the slot of that index")
    return first(problems)


_Placed = tuple[regions.Region, str, int]
"""Memory, kind and identity of an object."""


def _placed(view: View) -> list[_Placed]:
    """All objects in the order of their memory, frames and tables among them; untypeds are not objects."""
    return sorted(set(view.of_caps(_object_of).values()))


def _object_of(cap: Cap) -> _Placed | None:
    where = regions.region(cap)
    if where is None or type(cap) is kc.UntypedCap:
        return None
    target = regions.referent(cap)
    return where, type(cap if target is None else target).__name__, 0 if target is None else id(target)


def _place(item: _Placed) -> str:
    return f"{item[1]}@{item[0][0]:#x}"


def pspace_aligned(view: View) -> str | None:
    """G9 ``pspace_aligned``: what a cap refers to is aligned to its size."""
    problems = []
    for slot in view.slots_changed():
        where = view.region_of.get(slot)
        if where is not None and where[0] % (where[1] - where[0]):
            # A scheduling context's size is its own choice; a TCB is padded; all are powers of two.
            problems.append(f"{name_of(slot)} {describe(slot.cap)} is not aligned to its size")
    return first(sorted(problems))


def pspace_distinct(view: View) -> str | None:
    """G9b ``pspace_distinct``: no two objects share memory."""
    problems = []
    for one, other in pairwise(view.once(_placed)):
        if other[0][0] < one[0][1]:
            problems.append(f"{_place(one)} (to {one[0][1]:#x}) overlaps {_place(other)}")
    return first(problems)


def untyped_children_below_watermark(view: View) -> str | None:
    """G10: all that was made from an untyped lies below its watermark (that it is disjoint is G9)."""
    problems = []
    for slot, cap in view.untypeds():
        top = cap.paddr + cap.free_offset
        for child in view.tree.descendants(slot):
            where = view.region_of.get(child)
            if where is not None and where[1] > top:
                problems.append(
                    f"{name_of(child)} {describe(child.cap)} reaches above the watermark {top:#x} of {describe(cap)}"
                )
    return first(problems)


def memory_is_paid_for(view: View) -> str | None:
    """G28: kernel memory is bounded by the untyped it was paid from; no queue and no number is unbounded."""
    problems = list(view.once(_wrong_places))
    for node in view.touched(ko.CNode):
        problems += _overfull(node, 1 << node.radix)
    for lines in view.touched(ko.SlotContainer):
        problems += _overfull(lines, view.config.timer_irq + 1)
    for tcb in view.touched(ko.TCB):
        problems += _overgrown_thread(tcb)
    for sc in view.touched(ko.SchedContext):
        if not len(sc.refills) <= sc.refill_max <= obj.max_refills(sc.size_bits) and sc.refill_max:
            problems.append(f"{name_of(sc)} has {len(sc.refills)} refills of {sc.refill_max}")
        problems += _unfit_numbers(sc, [sc.period, sc.consumed, sc.badge, *[r.amount for r in sc.refills]])
        problems += _unfit_numbers(sc, [r.time for r in sc.refills])
    for pool in view.touched(ko.ASIDPool):
        if any(not 0 <= low < 512 for low in pool.roots):
            problems.append(f"{name_of(pool)} has an ASID out of range")
    for notification in view.touched(ko.Notification):
        problems += _unfit_numbers(notification, [notification.badge])
    return first(problems + _overgrown_kernel(view))


def _wrong_places(view: View) -> list[str]:
    """Kernel objects in device memory, in the kernel's own image, or outside RAM."""
    image, ram = view.config.kernel_image, view.config.ram
    problems = []
    for item in view.once(_placed):
        where, kind, _ = item
        if kind == "FrameCap":
            continue
        for start, end in ram:
            if start <= where[0] and where[1] <= end:
                break
        else:
            problems.append(f"{_place(item)} does not lie in RAM")
        if where[0] < image[1] and image[0] < where[1]:
            problems.append(f"{_place(item)} lies in the kernel's image")
    return problems


def _overgrown_thread(tcb: ko.TCB) -> list[str]:
    problems = _overfull(tcb, ko.TCB_SLOTS)
    if len(tcb.registers) != REGISTER_COUNT or len(tcb.name) > 127:
        problems.append(f"{name_of(tcb)} has {len(tcb.registers)} registers and a name of {len(tcb.name)}")
    if not (0 <= tcb.priority <= 255 and 0 <= tcb.mcp <= 255):
        problems.append(f"{name_of(tcb)} has priority {tcb.priority}, mcp {tcb.mcp}")
    if not (0 <= tcb.ipc_buffer <= WORD_MASK and 0 <= tcb.flags <= WORD_MASK and 0 <= tcb.domain <= WORD_MASK):
        problems.append(f"{name_of(tcb)} has IPC buffer {tcb.ipc_buffer:#x}, flags {tcb.flags:#x}, domain {tcb.domain}")
    return problems + _unfit_numbers(tcb, tcb.registers)


def _overfull(container: ko.SlotContainer, size: int) -> list[str]:
    """Slots that a container has not room for."""
    slots = container.slots
    if not slots or (min(slots) >= 0 and max(slots) < size):
        return []
    return [f"{name_of(container)} has slot {n}" for n in slots if not 0 <= n < size]


def _unfit_numbers(item: Any, numbers: list[int]) -> list[str]:
    """What does not fit into a 64-bit word."""
    try:
        array("Q", numbers)
    except OverflowError:
        return [f"{name_of(item)} holds {min(numbers):#x} .. {max(numbers):#x}"]
    return []


def _overgrown_kernel(view: View) -> list[str]:
    state, config = view.state, view.config
    problems = []
    if state.asid_table and not 0 <= min(state.asid_table) <= max(state.asid_table) < obj.ASID_POOL_COUNT:
        problems.append("an ASID pool is registered out of range")
    if len(state.domain_schedule) != config.domain_schedule_length:
        problems.append("the domain schedule has changed its length")
    if not (0 <= state.domain < config.num_domains and 0 <= state.domain_index < len(state.domain_schedule)):
        problems.append(f"domain {state.domain}, index {state.domain_index}")
    if not (0 <= state.time <= WORD_MASK and 0 <= state.consumed <= WORD_MASK and state.domain_time >= 0):
        problems.append(f"time {state.time}, consumed {state.consumed}, domain time {state.domain_time}")
    return problems


def free_memory_is_nobodys(view: View) -> str | None:
    """G9c: no untyped covers what is not for user space: the kernel's image, and what the machine keeps back."""
    taken = [view.config.kernel_image, *view.config.reserved]
    return first([
        f"{describe(cap)} covers memory from {start:#x} to {end:#x}, which is kept back"
        for _, cap in view.untypeds() for start, end in taken
        if cap.paddr < end and start < cap.paddr + (1 << cap.size_bits)
    ])  # fmt: skip


CHECKS = (
    Invariant("G2", "no_dangling", "every pointer in a live object leads to a live object of the right type",
              no_dangling, reads=CAPS | REFERENCES),
    Invariant("G9", "pspace_aligned", "objects are aligned to their size", pspace_aligned, reads=CAPS),
    Invariant("G9b", "pspace_distinct", "objects are disjoint", pspace_distinct, reads=CAPS),
    Invariant("G9c", "free_memory_is_nobodys", "no untyped covers what is not for user space",
              free_memory_is_nobodys, reads=CAPS),
    Invariant("G10", "untyped_children_below_watermark", "all that was made from an untyped lies below its watermark",
              untyped_children_below_watermark, reads=CAPS),
    Invariant("G11", "live_objects_have_caps", "a live object is reached by some cap", live_objects_have_caps,
              reads=CAPS | REFERENCES),
    Invariant("G12", "slots_have_owner", "a non-empty slot's CNode or TCB is reached by some cap", slots_have_owner,
              reads=CAPS),
    Invariant("G28", "memory_is_paid_for", "kernel memory is bounded by what was paid for it", memory_is_paid_for),
)  # fmt: skip
