"""What a specification says that no kernel can do, although it can be read."""

from collections.abc import Iterator

from capkernel.abi import objects as obj
from capkernel.system.capdl.model import Spec, slot_key

_PT_SLOTS = 1 << obj.PAGE_TABLE_BITS - 3
_LIMITS = {"tcb": 9, "pt": _PT_SLOTS, "asid_pool": 1 << obj.ASID_LOW_BITS, "irq": 1}


def impossible(spec: Spec) -> list[str]:
    """Each in a sentence; empty if the specification can be."""
    return [*_slots(spec), *_derivations(spec), *_guards(spec), *_covers(spec)]


def _slots(spec: Spec) -> Iterator[str]:
    for name, number in sorted(spec.slots, key=slot_key):
        thing = spec.objects[name]
        limit = 1 << thing.number("bits") if thing.kind == "cnode" else _LIMITS[thing.kind]
        if number >= limit:
            yield f"{name} has no slot {number:#x} (its slots are 0 .. {limit - 1:#x})"


def _derivations(spec: Spec) -> Iterator[str]:
    for child, parent in sorted(spec.cdt.items()):
        for ref in (child, parent):
            if ref not in spec.slots:
                yield f"the cdt names slot {ref[1]:#x} of {ref[0]}, which is empty"
        seen = {child}
        while parent in spec.cdt and parent not in seen:
            seen.add(parent)
            parent = spec.cdt[parent]
        if parent in seen:
            yield f"the cap in slot {child[1]:#x} of {child[0]} is derived from itself"


def _guards(spec: Spec) -> Iterator[str]:
    for (name, number), cap in sorted(spec.slots.items()):
        if spec.kind_of(cap.object) != "cnode":
            continue
        radix = spec.objects[cap.object].number("bits")
        if cap.guard_size + radix > 64 or cap.guard >> cap.guard_size:
            yield f"the guard {cap.guard:#x} of {cap.guard_size} bits in slot {number:#x} of {name} does not fit"


def _covers(spec: Spec) -> Iterator[str]:
    for child, parent in sorted(spec.covers.items()):
        seen = {child}
        while parent in spec.covers and parent not in seen:
            seen.add(parent)
            parent = spec.covers[parent]
        if parent in seen:
            yield f"{child} lies in itself"
