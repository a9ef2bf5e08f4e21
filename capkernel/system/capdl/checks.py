"""What a specification says that no kernel can do, although it can be read."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from capkernel.abi import objects as obj
from capkernel.abi import rights as rt
from capkernel.system.capdl.model import SPECIAL, TCB_SLOT_NAMES, TCB_SLOTS, Cap, SlotRef, Spec, slot_key

T = TypeVar("T")

_PT_SLOTS = 1 << obj.PAGE_TABLE_BITS - 3
_LIMITS = {"tcb": 9, "pt": _PT_SLOTS, "asid_pool": 1 << obj.ASID_LOW_BITS, "irq": 1}
_LEVELS = 3
_MAX_NESTING = 100
_MAX_ARGUMENTS = 8
_ENTRIES = ("pt", "asid_pool")
"""Objects whose slots hold no caps, but addresses."""
_BINDINGS = (TCB_SLOTS["sc_slot"], TCB_SLOTS["bound_notification"])
"""The slots of a TCB of which the same is true."""
_HOLDS = {"pt": ("pt", "frame"), "asid_pool": ("pt",), "irq": ("notification",)}
_TCB_HOLDS = {
    "cspace": ("cnode",), "vspace": ("pt",), "ipc_buffer_slot": ("frame",), "fault_ep_slot": ("ep",),
    "sc_slot": ("sc",), "temp_fault_ep_slot": ("ep",), "bound_notification": ("notification",),
}  # fmt: skip
_SIZES = {
    "ut": (obj.MIN_UNTYPED_BITS, obj.MAX_UNTYPED_BITS), "cnode": (1, obj.MAX_UNTYPED_BITS - obj.SLOT_BITS),
    "sc": (obj.MIN_SCHED_CONTEXT_BITS, obj.MAX_UNTYPED_BITS),
}  # fmt: skip
_BADGED = ("ep", "notification")


def impossible(spec: Spec) -> list[str]:
    """Each in a sentence, with its place if the specification was read; empty if the specification can be."""
    checks = (_sizes, _threads, _slots, _derivations, _guards, _mappings, _tables, _covers, _irqs)
    return [f"{spec.said(about)}{text}" for check in checks for about, text in check(spec)]


Found = Iterator[tuple[str | SlotRef, str]]
"""What is wrong, and with what."""


def slot_text(spec: Spec, ref: SlotRef) -> str:
    """A slot in words."""
    thing = spec.objects.get(ref[0])
    if thing is not None and thing.kind == "tcb" and ref[1] in TCB_SLOT_NAMES:
        return f"{TCB_SLOT_NAMES[ref[1]]} of {ref[0]}"
    return f"slot {ref[1]:#x} of {ref[0]}"


def _sizes(spec: Spec) -> Found:
    for name, thing in spec.objects.items():
        least, most = _SIZES.get(thing.kind, (0, 0))
        bits = thing.get("bits")
        if isinstance(bits, int) and not least <= bits <= most:
            yield name, f"{name} cannot have {bits} bits: a {thing.kind} has {least} .. {most}"


def _threads(spec: Spec) -> Found:
    for name in (name for name, thing in spec.objects.items() if thing.kind == "tcb"):
        thing = spec.objects[name]
        if thing.get("fault_ep") is not None:
            yield name, f"{name} has a fault_ep, which is for the kernel without MCS: here a cap in its fault_ep_slot"
        if thing.number("affinity"):
            yield name, f"{name} is to run on core {thing.number('affinity')}: there is only core 0"
        arguments = thing.get("init")
        if isinstance(arguments, tuple) and len(arguments) > _MAX_ARGUMENTS:
            yield name, f"{name} has {len(arguments)} words of init: there are {_MAX_ARGUMENTS} argument registers"
        if (name, TCB_SLOTS["ipc_buffer_slot"]) in spec.slots and not thing.number("addr"):
            yield name, f"{name} has a frame in its ipc_buffer_slot, but no addr at which it is"


def _slots(spec: Spec) -> Found:
    for ref in sorted(spec.slots, key=slot_key):
        name, number = ref
        thing, cap = spec.objects[name], spec.slots[ref]
        limit = 1 << thing.number("bits") if thing.kind == "cnode" else _LIMITS[thing.kind]
        if number >= limit:
            yield ref, f"{name} has no slot {number:#x} (its slots are 0 .. {limit - 1:#x})"
            continue
        kinds = _HOLDS.get(thing.kind, ())
        if thing.kind == "tcb":
            kinds = _TCB_HOLDS.get(TCB_SLOT_NAMES[number], ())
        kind = spec.kind_of(cap.object)
        if thing.kind != "cnode" and not kinds:
            yield ref, f"{slot_text(spec, ref)} is none of the MCS kernel: reply objects are in no slot of a thread"
        elif thing.kind != "cnode" and kind not in kinds:
            yield ref, f"{slot_text(spec, ref)} cannot hold the {kind} {cap.object}: only a {' or '.join(kinds)}"
        elif kind == "sched_control" and cap.core:
            yield ref, f"{slot_text(spec, ref)} is for core {cap.core}: there is only core 0"


def _derivations(spec: Spec) -> Found:
    depths = _depths(spec.cdt)
    for child, parent in sorted(spec.cdt.items()):
        missing = [ref for ref in (child, parent) if ref not in spec.slots]
        for ref in missing:
            yield child, f"the cdt names {slot_text(spec, ref)}, which is empty"
        if child not in depths:
            yield child, f"the cap in {slot_text(spec, child)} is derived from itself"
        elif not missing:
            why = _underivable(spec, child, parent)
            if why:
                place = f"{slot_text(spec, child)} from {slot_text(spec, parent)}"
                yield child, f"the cdt derives {place}: {why}"


def _underivable(spec: Spec, child: SlotRef, parent: SlotRef) -> str:
    """Why a cap cannot be derived from another, or an empty string."""
    if spec.objects[parent[0]].kind != "cnode":
        return "only caps in CNodes have children"
    if not is_cap(spec, child):
        return "what is in that slot is no cap"
    made, source = spec.slots[child], spec.slots[parent]
    kind, above = spec.kind_of(made.object), spec.kind_of(source.object)
    if made.object == source.object:
        return _unlike(kind, made, source)
    if above == "ut" and kind not in SPECIAL and kind != "irq":
        return ""
    if (above, kind) == ("irq_control", "irq"):
        return ""
    return f"a {kind} is not made from a {above}" if kind != above else "they are different objects"


def _unlike(kind: str, made: Cap, source: Cap) -> str:
    """Why one cap cannot be a copy of the other."""
    if kind in _BADGED and source.badge and made.badge != source.badge:
        return "the badge of a copy cannot be changed"
    masked = rt.ALL if kind in _BADGED else rt.READ_WRITE if kind == "frame" else 0
    return "it has more rights" if made.rights & ~source.rights & masked else ""


def is_cap(spec: Spec, ref: SlotRef) -> bool:
    """Whether a slot holds a cap: it is not an entry of a page table or ASID pool, nor a binding of a TCB."""
    kind = spec.objects[ref[0]].kind
    return kind not in _ENTRIES and not (kind == "tcb" and ref[1] in _BINDINGS)


def _guards(spec: Spec) -> Found:
    for ref, cap in sorted(spec.slots.items()):
        if spec.kind_of(cap.object) != "cnode":
            continue
        radix = spec.objects[cap.object].number("bits")
        if cap.guard_size + radix > 64 or cap.guard >> cap.guard_size:
            yield ref, f"the guard {cap.guard:#x} of {cap.guard_size} bits in {slot_text(spec, ref)} does not fit"


def _mappings(spec: Spec) -> Found:
    for ref, cap in sorted(spec.slots.items()):
        entry = None if cap.mapping is None else spec.slots.get(cap.mapping)
        if cap.mapping is not None and spec.objects[cap.mapping[0]].kind != "pt":
            yield ref, f"the cap in {slot_text(spec, ref)} says that it is mapped in {cap.mapping[0]}, which is no pt"
        elif cap.mapping is not None and (entry is None or entry.object != cap.object):
            there = "is empty" if entry is None else f"holds {entry.object}"
            mapping = slot_text(spec, cap.mapping)
            yield ref, f"the cap in {slot_text(spec, ref)} says that it made {mapping}, which {there}"


def _tables(spec: Spec) -> Found:
    """Page tables lead at most through so many levels, and not in a circle."""
    above: dict[str, str] = {}
    for ref, cap in spec.slots.items():
        is_inner = spec.objects[ref[0]].kind == "pt" and spec.kind_of(cap.object) == "pt"
        if is_inner and above.setdefault(cap.object, ref[0]) != ref[0]:
            yield ref, f"the page table {cap.object} is in {above[cap.object]} and in {ref[0]}"
    depths = _depths(above)
    for name in above:
        if depths.get(name, _LEVELS) >= _LEVELS:
            yield name, f"the page table {name} is below more than {_LEVELS - 1} others"


def _covers(spec: Spec) -> Found:
    depths = _depths(spec.covers)
    for child, parent in sorted(spec.covers.items()):
        if child not in depths:
            yield child, f"{child} lies in itself"
        elif depths[child] > _MAX_NESTING:
            yield child, f"{child} lies in more than {_MAX_NESTING} untypeds"
        if spec.objects[child].kind == "irq":
            yield child, f"{child} lies in {parent}, but an interrupt is not made of memory"


def _irqs(spec: Spec) -> Found:
    numbers: dict[str, int] = {}
    for number, name in sorted(spec.irqs.items()):
        if numbers.setdefault(name, number) != number:
            yield name, f"{name} is interrupt {numbers[name]} and interrupt {number}"


def _depths(above: Mapping[T, T]) -> dict[T, int]:
    """How many are above each; those in or below a circle are left out."""
    found: dict[T, int] = {}
    seen: set[T] = set()
    for start in above:
        chain, at = [], start
        while at in above and at not in seen:
            seen.add(at)
            chain.append(at)
            at = above[at]
        if at in above and at not in found:
            continue
        for depth, name in enumerate(reversed(chain), found.get(at, 0) + 1):
            found[name] = depth
    return found
