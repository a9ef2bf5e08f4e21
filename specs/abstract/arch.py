"""Invocations of page tables, frames, ASID control and pools (manual, chapter 7; RISC-V)."""

from functools import partial

from capkernel.abi import errors as err
from capkernel.abi import iospace as io
from capkernel.abi import labels
from capkernel.abi import objects as obj
from capkernel.abi.flags import EXECUTE_NEVER
from specs.abstract.caps import ASIDControlCap, ASIDPoolCap, Cap, FrameCap, PageTableCap, UntypedCap
from specs.abstract.cdt import cap_insert, ensure_empty, ensure_no_children, is_final_cap, set_cap
from specs.abstract.cspace import lookup_slot_for_cnode_op
from specs.abstract.invocation import Call, Invocation, Results, require
from specs.abstract.io_invocations import decode_page_map_io
from specs.abstract.iospace import unmap_io_page
from specs.abstract.objects import PTE, ASIDPool, PagePTE, PageTable, PageTablePTE, Ptr
from specs.abstract.state import CSlot, State, SyscallError, clear_memory, get_asid_pool, get_cap
from specs.abstract.vspace import (
    PTSlot,
    get_pte,
    make_user_pte,
    pt_lookup_slot,
    store_pte,
    unmap_page,
    unmap_page_table,
    vspace_for_asid,
)

WORDS = 2**64


def _vspace(s: State, cap: Cap, vaddr: int | None = None) -> tuple[Ptr, int]:
    """Root table and ASID of the address space that a cap stands for. Raises SyscallError.

    A ``vaddr`` that no user may map is refused before the ASID is looked up.
    """
    if not isinstance(cap, PageTableCap) or cap.mapped is None:
        raise SyscallError(err.INVALID_CAPABILITY, 1)
    if vaddr is not None and vaddr >= obj.USER_TOP:
        raise SyscallError(err.INVALID_ARGUMENT, 0)
    asid = cap.mapped[0]
    root = vspace_for_asid(s, asid)
    if root is None:
        raise SyscallError(err.FAILED_LOOKUP, 0, err.INVALID_ROOT)
    if root != cap.ptr:
        raise SyscallError(err.INVALID_CAPABILITY, 1)
    return root, asid


def decode_page_table_invocation(s: State, call: Call, cap: PageTableCap) -> Invocation:
    """Map (address, attributes; VSpace) and Unmap. Raises SyscallError."""
    if call.label == labels.PAGE_TABLE_UNMAP:
        is_root = cap.mapped is not None and vspace_for_asid(s, cap.mapped[0]) == cap.ptr
        if is_root or not is_final_cap(s, call.slot):
            raise SyscallError(err.REVOKE_FIRST)
        return partial(_page_table_unmap, s, call.slot, cap)
    if call.label != labels.PAGE_TABLE_MAP:
        raise SyscallError(err.ILLEGAL_OPERATION)
    require(call, 2, 1)
    if cap.mapped is not None:
        raise SyscallError(err.INVALID_CAPABILITY, 0)
    vaddr = call.arg(0)
    root, asid = _vspace(s, get_cap(s, call.extra_caps[0]), vaddr)
    slot, bits = pt_lookup_slot(s, root, vaddr)
    if bits == obj.PAGE_BITS or get_pte(s, slot) is not None:
        raise SyscallError(err.DELETE_FIRST)
    new = cap._replace(mapped=(asid, vaddr >> bits << bits))
    return partial(_map, s, call.slot, new, slot, PageTablePTE(cap.ptr))


def _map(s: State, cap_slot: CSlot, cap: Cap, pt_slot: PTSlot, pte: PTE | None) -> None:
    set_cap(s, cap, cap_slot)
    store_pte(s, pt_slot, pte)


def _page_table_unmap(s: State, slot: CSlot, cap: PageTableCap) -> None:
    """A table that is taken out is emptied."""
    if cap.mapped is not None:
        unmap_page_table(s, cap)
        s.kheap[cap.ptr] = PageTable({})
        clear_memory(s, cap.ptr, 2**obj.PAGE_TABLE_BITS)
    set_cap(s, cap._replace(mapped=None), slot)


def decode_frame_invocation(s: State, call: Call, cap: FrameCap) -> Invocation:
    """Map (address, rights, attributes; VSpace), Unmap, GetAddress; MapIO with an IOMMU. Raises SyscallError."""
    match call.label:
        case labels.PAGE_MAP:
            return _decode_page_map(s, call, cap)
        case labels.PAGE_UNMAP:
            return partial(_page_unmap, s, call.slot, cap)
        case labels.PAGE_GET_ADDRESS:
            return partial(_get_address, cap)
        case io.PAGE_MAP_IO if s.config.has_iommu:
            return decode_page_map_io(s, call, cap)
        case _:
            raise SyscallError(err.ILLEGAL_OPERATION)


def _decode_page_map(s: State, call: Call, cap: FrameCap) -> Invocation:
    require(call, 3, 1)
    vaddr, rights, attributes = call.arg(0), call.arg(1), call.arg(2)
    root, asid = _vspace(s, get_cap(s, call.extra_caps[0]))
    size = 2**cap.size_bits
    if (vaddr + size - 1) % WORDS >= obj.USER_TOP:
        raise SyscallError(err.INVALID_ARGUMENT, 0)
    if vaddr % size:
        raise SyscallError(err.ALIGNMENT_ERROR)
    slot, bits = pt_lookup_slot(s, root, vaddr)
    if bits != cap.size_bits:
        raise SyscallError(err.FAILED_LOOKUP, 0, err.MISSING_CAPABILITY, bits)
    _check_remap(cap, asid, vaddr, get_pte(s, slot))
    new = FrameCap(cap.ptr, cap.size_bits, cap.rights, cap.is_device, asid, vaddr)
    pte = make_user_pte(cap.ptr, cap.rights & rights, not attributes & EXECUTE_NEVER)
    return partial(_map, s, call.slot, new, slot, pte)


def _check_remap(cap: FrameCap, asid: int, vaddr: int, old: PTE | None) -> None:
    """A cap that has a mapping may map there again, whatever is there now but a table. Raises SyscallError."""
    if cap.io is not None:
        raise SyscallError(err.INVALID_CAPABILITY, 0)
    if not cap.asid and old is not None:
        raise SyscallError(err.DELETE_FIRST)
    if cap.asid and cap.asid != asid:
        raise SyscallError(err.INVALID_CAPABILITY, 1)
    if cap.asid and cap.vaddr != vaddr:
        raise SyscallError(err.INVALID_ARGUMENT, 0)
    if old is not None and not isinstance(old, PagePTE):
        raise SyscallError(err.DELETE_FIRST)


def _page_unmap(s: State, slot: CSlot, cap: FrameCap) -> None:
    if cap.io is not None:
        unmap_io_page(s, cap)
    elif cap.asid:
        unmap_page(s, cap)
    set_cap(s, cap._replace(asid=0, vaddr=0, io=None), slot)


def _get_address(cap: FrameCap) -> Results:
    return [cap.ptr]


def decode_asid_control_invocation(s: State, call: Call, cap: ASIDControlCap) -> Invocation:
    """MakePool: index, depth; an untyped of the size of a pool, the root CNode. Raises SyscallError."""
    if call.label != labels.ASID_CONTROL_MAKE_POOL:
        raise SyscallError(err.ILLEGAL_OPERATION)
    require(call, 2, 2)
    free = [high for high in range(obj.ASID_POOL_COUNT) if high not in s.asid_table]
    if not free:
        raise SyscallError(err.DELETE_FIRST)
    parent = call.extra_caps[0]
    untyped = get_cap(s, parent)
    if not isinstance(untyped, UntypedCap) or untyped.size_bits != obj.ASID_POOL_BITS or untyped.is_device:
        raise SyscallError(err.INVALID_CAPABILITY, 1)
    ensure_no_children(s, parent)
    dest = lookup_slot_for_cnode_op(s, False, get_cap(s, call.extra_caps[1]), call.arg(0), call.arg(1))
    ensure_empty(s, dest)
    return partial(_make_pool, s, parent, untyped, dest, free[0])


def _make_pool(s: State, parent: CSlot, untyped: UntypedCap, dest: CSlot, high: int) -> None:
    base = high << obj.ASID_LOW_BITS
    clear_memory(s, untyped.ptr, 2**obj.ASID_POOL_BITS)
    set_cap(s, untyped._replace(free_index=2**untyped.size_bits), parent)
    s.kheap[untyped.ptr] = ASIDPool(base, {})
    cap_insert(s, ASIDPoolCap(untyped.ptr, base), parent, dest)
    s.asid_table[high] = untyped.ptr


def decode_asid_pool_invocation(s: State, call: Call, cap: ASIDPoolCap) -> Invocation:
    """Assign: an unmapped page table becomes the root of an address space. Raises SyscallError."""
    if call.label != labels.ASID_POOL_ASSIGN:
        raise SyscallError(err.ILLEGAL_OPERATION)
    require(call, 0, 1)
    slot = call.extra_caps[0]
    root = get_cap(s, slot)
    if not isinstance(root, PageTableCap) or root.mapped is not None:
        raise SyscallError(err.INVALID_CAPABILITY, 1)
    registered = s.asid_table.get(cap.base >> obj.ASID_LOW_BITS)
    if registered is None:
        raise SyscallError(err.FAILED_LOOKUP, 0, err.INVALID_ROOT)
    if registered != cap.ptr:
        raise SyscallError(err.INVALID_CAPABILITY, 0)
    # ASID 0 means no address space at all, and is never given.
    taken = get_asid_pool(s, cap.ptr).roots
    free = [low for low in range(2**obj.ASID_LOW_BITS) if low not in taken and cap.base + low]
    if not free:
        raise SyscallError(err.DELETE_FIRST)
    return partial(_assign, s, slot, root, cap, free[0])


def _assign(s: State, slot: CSlot, root: PageTableCap, pool: ASIDPoolCap, low: int) -> None:
    set_cap(s, root._replace(mapped=(pool.base + low, 0)), slot)
    item = get_asid_pool(s, pool.ptr)
    s.kheap[pool.ptr] = item._replace(roots=item.roots | {low: root.ptr})
