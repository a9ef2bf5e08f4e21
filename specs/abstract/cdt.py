"""The capability derivation tree: which cap was derived from which (manual, section 3.1.4).

``cdt`` says each slot's parent; ``cdt_list`` the order of the children, the latest first.
"""

from capkernel.abi import errors as err
from specs.abstract.caps import (
    NULL,
    Cap,
    FrameCap,
    IOPageTableCap,
    IRQControlCap,
    PageTableCap,
    UntypedCap,
    Zombie,
    gen_obj_refs,
    is_cap_revocable,
    should_be_parent_of,
)
from specs.abstract.state import CSlot, State, SyscallError, get_cap


def set_cap(s: State, cap: Cap, slot: CSlot) -> None:
    """Put a cap into a slot, which keeps its place in the tree."""
    s.own_tree()
    s.caps[slot] = cap


def children(s: State, slot: CSlot) -> tuple[CSlot, ...]:
    """What was derived from a slot directly, the latest first."""
    return s.cdt_list.get(slot, ())


def is_final_cap(s: State, slot: CSlot) -> bool:
    """Whether no other slot holds a cap to the same thing."""
    refs = gen_obj_refs(get_cap(s, slot))
    if refs is None:
        return True
    kind = type(get_cap(s, slot))
    return not any(type(c) is kind and gen_obj_refs(c) == refs for other, c in s.caps.items() if other != slot)


def ensure_no_children(s: State, slot: CSlot) -> None:
    """Raises RevokeFirst if anything was derived from a slot."""
    if children(s, slot):
        raise SyscallError(err.REVOKE_FIRST)


def ensure_empty(s: State, slot: CSlot) -> None:
    """Raises DeleteFirst unless the slot holds no cap."""
    if slot in s.caps:
        raise SyscallError(err.DELETE_FIRST)


def derive_cap(s: State, slot: CSlot, cap: Cap) -> Cap:
    """What a copy of a cap may be; the null cap if there is no such copy. Raises SyscallError."""
    if isinstance(cap, (Zombie, IRQControlCap)):
        return NULL
    if isinstance(cap, UntypedCap):
        ensure_no_children(s, slot)
    if isinstance(cap, FrameCap):
        return cap._replace(asid=0, vaddr=0, io=None)
    if (isinstance(cap, PageTableCap) and not cap.mapped) or (isinstance(cap, IOPageTableCap) and not cap.io):
        raise SyscallError(err.ILLEGAL_OPERATION)
    return cap


def _set_parent(s: State, slot: CSlot, parent: CSlot | None) -> None:
    if parent is None:
        s.cdt.pop(slot, None)
    else:
        s.cdt[slot] = parent


def _replace_child(s: State, parent: CSlot | None, slot: CSlot, by: tuple[CSlot, ...]) -> None:
    """In the list of a parent's children, put others in the place of one."""
    if parent is None:
        return
    siblings = s.cdt_list[parent]
    place = siblings.index(slot)
    siblings = siblings[:place] + by + siblings[place + 1 :]
    if siblings:
        s.cdt_list[parent] = siblings
    else:
        del s.cdt_list[parent]


def cap_insert(s: State, new: Cap, src: CSlot, dest: CSlot) -> None:
    """Put a cap that is derived from the one in ``src`` into ``dest``, as its first child or next sibling."""
    source = get_cap(s, src)
    original = is_cap_revocable(new, source)
    is_parent = should_be_parent_of(source, src in s.is_original_cap, new, original)
    if isinstance(source, UntypedCap) and isinstance(new, UntypedCap):
        set_cap(s, source._replace(free_index=2**source.size_bits), src)
    set_cap(s, new, dest)
    if original:
        s.is_original_cap.add(dest)
    if is_parent:
        s.cdt[dest] = src
        s.cdt_list[src] = (dest, *children(s, src))
    else:
        _set_parent(s, dest, s.cdt.get(src))
        _replace_child(s, s.cdt.get(src), src, (src, dest))


def create_cap(s: State, cap: Cap, untyped: CSlot, dest: CSlot) -> None:
    """Put the first cap to a new object into ``dest``, as a child of the untyped that it was made from."""
    set_cap(s, cap, dest)
    s.is_original_cap.add(dest)
    s.cdt[dest] = untyped
    s.cdt_list[untyped] = (dest, *children(s, untyped))


def cap_move(s: State, new: Cap, src: CSlot, dest: CSlot) -> None:
    """Put ``new`` into ``dest``, which takes the place of ``src`` in the tree."""
    s.own_tree()
    parent = s.cdt.get(src)
    _replace_child(s, parent, src, (dest,))
    _set_parent(s, dest, parent)
    s.cdt.pop(src, None)
    _give_children(s, src, dest)
    set_cap(s, new, dest)
    del s.caps[src]
    if src in s.is_original_cap:
        s.is_original_cap.remove(src)
        s.is_original_cap.add(dest)


def _give_children(s: State, src: CSlot, dest: CSlot) -> None:
    if src in s.cdt_list:
        s.cdt_list[dest] = s.cdt_list.pop(src)
        for child in s.cdt_list[dest]:
            s.cdt[child] = dest


def cap_swap(s: State, cap1: Cap, slot1: CSlot, cap2: Cap, slot2: CSlot) -> None:
    """Exchange two slots, with their places in the tree; ``cap1`` goes to slot 2 and ``cap2`` to slot 1."""
    s.own_tree()
    other = {slot1: slot2, slot2: slot1}

    def swapped(slot: CSlot) -> CSlot:
        return other.get(slot, slot)

    s.cdt = {swapped(child): swapped(parent) for child, parent in s.cdt.items()}
    s.cdt_list = {swapped(parent): tuple(map(swapped, below)) for parent, below in s.cdt_list.items()}
    s.is_original_cap = {swapped(slot) for slot in s.is_original_cap}
    for slot, cap in ((slot1, cap2), (slot2, cap1)):
        if isinstance(cap, type(NULL)):
            s.caps.pop(slot, None)
        else:
            set_cap(s, cap, slot)


def empty_slot(s: State, slot: CSlot) -> None:
    """Take the cap out of a slot; what was derived from it counts as derived from its parent."""
    if slot not in s.caps:
        return
    s.own_tree()
    parent = s.cdt.pop(slot, None)
    orphans = s.cdt_list.pop(slot, ())
    _replace_child(s, parent, slot, orphans)
    for child in orphans:
        _set_parent(s, child, parent)
    del s.caps[slot]
    s.is_original_cap.discard(slot)
