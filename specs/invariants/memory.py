"""Objects and the memory they lie in: G2, G9–G12, G28.

Catches: use after free, an object that nothing can name or delete any more, overlapping objects, a watermark that lags
behind what was given out, kernel memory that nobody paid for, numbers that no 64-bit kernel could hold.
"""

from itertools import pairwise
from typing import Any

from capkernel.abi import objects as obj
from capkernel.abi.registers import REGISTER_COUNT
from capkernel.abi.words import WORD_MASK
from capkernel.kernel import caps as kc
from capkernel.kernel import objects as ko
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
    return id(item) in view.caps_to or item in (view.state.idle, view.state.idle_sc, view.state.irq_slots)


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
    return first([f"no cap leads to {name_of(item)}" for item in items if id(item) not in view.caps_to])


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


def _placed(view: View) -> dict[tuple[regions.Region, str, int], str]:
    """All objects by (memory, kind, identity), frames and tables among them; untypeds are not objects."""
    found = {}
    for slot in view.slots:
        where = view.region_of.get(id(slot))
        if where is not None and not isinstance(slot.cap, kc.UntypedCap):
            target = regions.referent(slot.cap)
            kind = type(target or slot.cap).__name__
            found[where, kind, 0 if target is None else id(target)] = f"{kind}@{where[0]:#x}"
    return found


def pspace_aligned(view: View) -> str | None:
    """G9 ``pspace_aligned``: what a cap refers to is aligned to its size."""
    problems = []
    for slot in view.slots:
        where = view.region_of.get(id(slot))
        if where is not None and where[0] % (where[1] - where[0]):
            # A scheduling context's size is its own choice; a TCB is padded; all are powers of two.
            problems.append(f"{name_of(slot)} {describe(slot.cap)} is not aligned to its size")
    return first(problems)


def pspace_distinct(view: View) -> str | None:
    """G9b ``pspace_distinct``: no two objects share memory."""
    problems = []
    order = sorted(view.once(_placed).items(), key=lambda item: item[0][:2])
    for ((before, *_), one), ((after, *_), other) in pairwise(order):
        if after[0] < before[1]:
            problems.append(f"{one} (to {before[1]:#x}) overlaps {other}")
    return first(problems)


def untyped_children_below_watermark(view: View) -> str | None:
    """G10: all that was made from an untyped lies below its watermark (that it is disjoint is G9)."""
    problems = []
    for slot, cap in view.untypeds():
        top = cap.paddr + cap.free_offset
        for child in view.tree.descendants(slot):
            where = view.region_of.get(id(child))
            if where is not None and where[1] > top:
                problems.append(
                    f"{name_of(child)} {describe(child.cap)} reaches above the watermark {top:#x} of {describe(cap)}"
                )
    return first(problems)


def memory_is_paid_for(view: View) -> str | None:
    """G28: kernel memory is bounded by the untyped it was paid from; no queue and no number is unbounded."""
    problems = list(view.once(_wrong_places))
    for node in view.touched(ko.CNode):
        problems += [f"{name_of(node)} has slot {n}" for n in node.slots if not 0 <= n < 1 << node.radix]
    for tcb in view.touched(ko.TCB):
        problems += _overgrown_thread(tcb)
    for sc in view.touched(ko.SchedContext):
        if not len(sc.refills) <= sc.refill_max <= obj.max_refills(sc.size_bits) and sc.refill_max:
            problems.append(f"{name_of(sc)} has {len(sc.refills)} refills of {sc.refill_max}")
        problems += _unfit_numbers(sc, ("period", "consumed", "badge"), [r.amount for r in sc.refills])
        problems += _unfit_numbers(sc, (), [r.time for r in sc.refills])
    for pool in view.touched(ko.ASIDPool):
        if any(not 0 <= low < 512 for low in pool.roots):
            problems.append(f"{name_of(pool)} has an ASID out of range")
    for notification in view.touched(ko.Notification):
        problems += _unfit_numbers(notification, ("badge",), [])
    return first(problems + _overgrown_kernel(view))


def _wrong_places(view: View) -> list[str]:
    """Kernel objects in device memory, in the kernel's own image, or outside RAM."""
    image = view.config.kernel_image
    problems = []
    for (where, kind, _), name in view.once(_placed).items():
        if kind == "FrameCap":
            continue
        if not any(start <= where[0] and where[1] <= end for start, end in view.config.ram):
            problems.append(f"{name} does not lie in RAM")
        if where[0] < image[1] and image[0] < where[1]:
            problems.append(f"{name} lies in the kernel's image")
    return problems


def _overgrown_thread(tcb: ko.TCB) -> list[str]:
    problems = [f"{name_of(tcb)} has slot {n}" for n in tcb.slots if not 0 <= n < ko.TCB_SLOTS]
    if len(tcb.registers) != REGISTER_COUNT or len(tcb.name) > 127:
        problems.append(f"{name_of(tcb)} has {len(tcb.registers)} registers and a name of {len(tcb.name)}")
    if not (0 <= tcb.priority <= 255 and 0 <= tcb.mcp <= 255):
        problems.append(f"{name_of(tcb)} has priority {tcb.priority}, mcp {tcb.mcp}")
    return problems + _unfit_numbers(tcb, ("ipc_buffer", "flags", "domain"), tcb.registers)


def _unfit_numbers(item: Any, fields: tuple[str, ...], words: list[int]) -> list[str]:
    """Numbers that do not fit into a 64-bit word."""
    problems = [f"{name_of(item)}.{f} = {getattr(item, f)}" for f in fields if not 0 <= getattr(item, f) <= WORD_MASK]
    if words and (min(words) < 0 or max(words) > WORD_MASK):
        problems.append(f"{name_of(item)} holds {min(words):#x} .. {max(words):#x}")
    return problems


def _overgrown_kernel(view: View) -> list[str]:
    state, config = view.state, view.config
    problems = []
    if any(not 0 <= high < obj.ASID_POOL_COUNT for high in state.asid_table):
        problems.append("an ASID pool is registered out of range")
    if any(not 0 <= n <= config.timer_irq for n in state.irq_slots.slots):
        problems.append("an interrupt slot is out of range")
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
