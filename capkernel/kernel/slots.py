"""Slots and the capability derivation tree: who was derived from whom (manual, section 3.1.4).

The tree is one list in prefix order. What stands behind a slot is its child exactly if ``is_parent_of`` says so;
so whatever is put in must be put right behind what it comes from.
"""

from dataclasses import replace

from capkernel.abi import errors as err
from capkernel.abi.words import BIT
from capkernel.kernel.caps import (
    FrameCap,
    IOPageTableCap,
    IRQControlCap,
    PageTableCap,
    UntypedCap,
    ZombieCap,
    brand_of,
    is_revocable,
    same_object_as,
    same_region_as,
)
from capkernel.kernel.errors import SyscallError, illegal_operation
from capkernel.kernel.objects import NULL, Cap, KernelBug, Slot


def is_parent_of(parent: Slot, child: Slot) -> bool:
    """Whether ``child``, standing behind ``parent``, was derived from it (isMDBParentOf)."""
    if not parent.revocable or not same_region_as(parent.cap, child.cap):
        return False
    brand = brand_of(parent.cap)
    return brand == 0 or (brand == brand_of(child.cap) and not child.first_badged)


def has_children(slot: Slot) -> bool:
    """Whether anything was derived from the cap in the slot."""
    return slot.next is not None and is_parent_of(slot, slot.next)


def is_final(slot: Slot) -> bool:
    """Whether no other slot holds a cap to the same object; neighbours suffice (isFinalCapability)."""
    before, after = slot.prev, slot.next
    if before is not None and same_object_as(before.cap, slot.cap):
        return False
    return after is None or not same_object_as(slot.cap, after.cap)


def ensure_no_children(slot: Slot) -> None:
    """Raise RevokeFirst if anything was derived from the cap."""
    if has_children(slot):
        raise SyscallError(err.REVOKE_FIRST)


def ensure_empty(slot: Slot) -> None:
    """Raise DeleteFirst if the slot holds a cap."""
    if slot.cap is not NULL:
        raise SyscallError(err.DELETE_FIRST)


def derive_cap(slot: Slot, cap: Cap) -> Cap:
    """The copy that may be made of ``cap``, found in ``slot``; ``NULL`` if none (deriveCap).

    A copied frame is not mapped. Raises RevokeFirst for an untyped that has children, IllegalOperation for an
    unmapped page table (its copies could be mapped twice).
    """
    match cap:
        case FrameCap():
            return FrameCap(cap.paddr, cap.size_bits, cap.rights, cap.is_device)
        case ZombieCap() | IRQControlCap():
            return NULL
        case UntypedCap():
            ensure_no_children(slot)
        case PageTableCap() if not cap.is_mapped:
            raise illegal_operation()
        case IOPageTableCap() if cap.io is None:
            raise illegal_operation()
    return cap


def _link(slot: Slot, before: Slot | None, after: Slot | None) -> None:
    slot.prev = before
    slot.next = after
    if before is not None:
        before.next = slot
    if after is not None:
        after.prev = slot


def insert_derived(cap: Cap, source: Slot, dest: Slot) -> None:
    """Put a copy of the source's cap into an empty slot, as its child or sibling (cteInsert)."""
    if dest.cap is not NULL or dest.next is not None or dest.prev is not None:
        raise KernelBug(f"insert into slot {dest.index}, which is not empty")
    revocable = is_revocable(cap, source.cap)
    if isinstance(source.cap, UntypedCap) and isinstance(cap, UntypedCap):
        # The copy covers the whole region, so nothing of it may be handed out through the source.
        source.cap = replace(source.cap, free_offset=BIT[source.cap.size_bits])
    dest.cap = cap
    dest.revocable = dest.first_badged = revocable
    _link(dest, source, source.next)


def insert_original(cap: Cap, parent: Slot, dest: Slot) -> None:
    """Put the first cap to a new object into an empty slot, as a child of its untyped (insertNewCap)."""
    dest.cap = cap
    dest.revocable = dest.first_badged = True
    _link(dest, parent, parent.next)


def insert_root(cap: Cap, dest: Slot) -> None:
    """Put a cap that is derived from nothing into a slot; only boot does this."""
    dest.cap = cap
    dest.revocable = dest.first_badged = True


def move(cap: Cap, source: Slot, dest: Slot) -> None:
    """Put ``cap``, the source's cap with perhaps another guard, in its place of the tree at ``dest`` (cteMove)."""
    if dest.cap is not NULL:
        raise KernelBug(f"move into slot {dest.index}, which is not empty")
    dest.cap = cap
    dest.revocable, dest.first_badged = source.revocable, source.first_badged
    _link(dest, source.prev, source.next)
    _forget(source)


def swap(cap1: Cap, slot1: Slot, cap2: Cap, slot2: Slot) -> None:
    """Exchange two slots, with their places in the tree; ``cap1`` goes to slot 2 (cteSwap)."""
    if slot1.next is slot2:
        slot1, slot2, cap1, cap2 = slot2, slot1, cap2, cap1
    before1, after1, before2, after2 = slot1.prev, slot1.next, slot2.prev, slot2.next
    slot1.cap, slot2.cap = cap2, cap1
    slot1.revocable, slot2.revocable = slot2.revocable, slot1.revocable
    slot1.first_badged, slot2.first_badged = slot2.first_badged, slot1.first_badged
    if before1 is slot2:
        _link(slot1, before2, slot2)
        _link(slot2, slot1, after1)
    else:
        _link(slot1, before2, after2)
        _link(slot2, before1, after1)


def unlink(slot: Slot) -> None:
    """Empty a slot; its children become children of its parent (emptySlot)."""
    before, after = slot.prev, slot.next
    if before is not None:
        before.next = after
    if after is not None:
        after.prev = before
        after.first_badged = after.first_badged or slot.first_badged
    _forget(slot)


def _forget(slot: Slot) -> None:
    slot.cap = NULL
    slot.prev = slot.next = None
    slot.revocable = slot.first_badged = False
