"""What a cap refers to, said without the kernel's help: kind, identity, and the memory behind it.

This is the oracle's own reading of the manual (sections 2.4.1 and 3.1.4); ``capkernel.kernel.caps`` has another. An
error in either shows as a disagreement. Caps never change, so what is said of one is remembered.
"""

from functools import lru_cache
from typing import Any

from capkernel.abi import objects as obj
from capkernel.abi.iospace import IO_PAGE_TABLE_BITS
from capkernel.kernel import caps as kc
from capkernel.kernel import objects as ko
from capkernel.kernel.objects import Cap, Slot
from specs.invariants.remembering import remembered, remembered_of_two

Region = tuple[int, int]
"""Physical addresses: first, and first after the end."""

REFERENT: dict[type[Cap], str] = {
    kc.EndpointCap: "endpoint", kc.NotificationCap: "notification", kc.ReplyCap: "reply", kc.CNodeCap: "cnode",
    kc.ThreadCap: "tcb", kc.ZombieCap: "container", kc.SchedContextCap: "sched_context", kc.ASIDPoolCap: "pool",
}  # fmt: skip
"""Kinds of cap that refer to a kernel object, and the field that does."""

_FIXED_BITS: dict[type[Cap], int] = {
    kc.EndpointCap: obj.ENDPOINT_BITS, kc.NotificationCap: obj.NOTIFICATION_BITS, kc.ReplyCap: obj.REPLY_BITS,
    kc.ThreadCap: obj.TCB_BITS, kc.PageTableCap: obj.PAGE_TABLE_BITS, kc.ASIDPoolCap: obj.ASID_POOL_BITS,
    kc.IOPageTableCap: IO_PAGE_TABLE_BITS,
}  # fmt: skip
MEMORY_CAPS = (kc.UntypedCap, kc.FrameCap, kc.PageTableCap, kc.IOPageTableCap)
"""Kinds that say themselves where their memory lies."""


def referent(cap: Cap) -> Any:
    """The kernel object that a cap leads to; None if it leads to none."""
    field = REFERENT.get(type(cap))
    return None if field is None else getattr(cap, field)


def size_bits_of(cap: Cap) -> int:
    """log2 of the bytes behind a cap that has memory."""
    fixed = _FIXED_BITS.get(type(cap))
    if fixed is not None:
        return fixed
    if isinstance(cap, kc.CNodeCap):
        return cap.cnode.radix + obj.SLOT_BITS
    if isinstance(cap, kc.ZombieCap):
        container = cap.container
        return container.radix + obj.SLOT_BITS if isinstance(container, ko.CNode) else obj.TCB_BITS
    bits: int = getattr(cap, "size_bits", 0)
    return bits


@remembered
def region(cap: Cap) -> Region | None:
    """The memory behind a cap; None if there is none."""
    if isinstance(cap, MEMORY_CAPS):
        return cap.paddr, cap.paddr + (1 << size_bits_of(cap))
    target = referent(cap)
    return None if target is None else (target.paddr, target.paddr + (1 << size_bits_of(cap)))


def inside(inner: Region, outer: Region) -> bool:
    """Whether one region lies in another."""
    return outer[0] <= inner[0] and inner[1] <= outer[1]


@remembered_of_two
def covers(parent: Cap, child: Cap) -> bool:
    """Whether authority over what ``child`` refers to can come from ``parent`` (manual, 3.1.4)."""
    kind = type(parent)
    if kind is kc.UntypedCap:
        outer, inner = region(parent), region(child)
        return outer is not None and inner is not None and inside(inner, outer)
    if kind is kc.IRQControlCap:
        return isinstance(child, kc.IRQControlCap | kc.IRQHandlerCap)
    if kind is not type(child):
        return False
    if isinstance(parent, kc.IRQHandlerCap) and isinstance(child, kc.IRQHandlerCap):
        return parent.irq == child.irq
    if isinstance(parent, kc.IOSpaceCap) and isinstance(child, kc.IOSpaceCap):
        return parent.request_id in (0, child.request_id)
    if isinstance(parent, kc.ZombieCap):
        return False
    outer, inner = region(parent), region(child)
    if kind is kc.FrameCap:
        return outer is not None and inner is not None and inside(inner, outer)
    return outer == inner


def badge(cap: Cap) -> int:
    """What a Mint has set: the badge of an endpoint or notification cap, the device of an IOSpace; 0 for all others."""
    if isinstance(cap, kc.IOSpaceCap):
        return cap.request_id
    return cap.badge if isinstance(cap, kc.EndpointCap | kc.NotificationCap) else 0


_NEVER, _IF_BADGED_BEFORE, _ALWAYS = range(3)


@remembered_of_two
def _lineage(parent: Cap, child: Cap) -> int:
    """Whether one cap can come from the other, and if it depends on where the child's badge was set."""
    wanted = badge(parent)
    if not covers(parent, child) or (wanted and badge(child) != wanted):
        return _NEVER
    return _IF_BADGED_BEFORE if wanted else _ALWAYS


def begets(parent: Slot, child: Slot) -> bool:
    """Whether ``child``, further on in the list, counts as derived from ``parent``.

    Three conditions: the parent may have children at all, the child's object lies in the parent's, and the child
    of a badged cap has that badge and was not itself made by setting it.
    """
    if not parent.revocable:
        return False
    lineage = _lineage(parent.cap, child.cap)
    return lineage == _ALWAYS or (lineage == _IF_BADGED_BEFORE and not child.first_badged)


@lru_cache(maxsize=1 << 12)
def describe(cap: Cap) -> str:
    """A cap in a few words, for messages."""
    name = type(cap).__name__.removesuffix("Cap")
    where = region(cap)
    parts = [name] if where is None else [f"{name}@{where[0]:#x}"]
    for field in ("size_bits", "badge", "rights", "asid", "vaddr", "free_offset", "irq"):
        value = getattr(cap, field, None)
        if value:
            parts.append(f"{field}={value:#x}")
    return "(" + " ".join(parts) + ")"
