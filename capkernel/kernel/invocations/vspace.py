"""Page tables, pages and ASIDs (manual, chapter 7; RISC-V)."""

from dataclasses import replace
from functools import partial

from capkernel.abi import errors as err
from capkernel.abi import iospace as io
from capkernel.abi import labels
from capkernel.abi import objects as obj
from capkernel.abi.flags import EXECUTE_NEVER
from capkernel.abi.words import BIT, MASK
from capkernel.kernel import iospace, slots, vspace
from capkernel.kernel.caps import (
    ASIDControlCap,
    ASIDPoolCap,
    FrameCap,
    PageTableCap,
    UntypedCap,
    mask_vm_rights,
)
from capkernel.kernel.cspace import lookup_cnode_slot
from capkernel.kernel.errors import (
    SyscallError,
    failed_lookup,
    illegal_operation,
    invalid_argument,
    invalid_capability,
)
from capkernel.kernel.invocations.call import Call, Invocation, Results
from capkernel.kernel.invocations.iospace import decode_page_map_io
from capkernel.kernel.objects import ASIDPool, Cap, Slot
from capkernel.kernel.state import State
from capkernel.kernel.vspace import vspace_root


def _checked_vspace(state: State, cap: Cap) -> PageTableCap:
    """A cap to the root table that its ASID really leads to."""
    if not isinstance(cap, PageTableCap) or not cap.is_mapped:
        raise invalid_capability(1)
    return cap


def _check_root(state: State, cap: PageTableCap) -> None:
    root = vspace_root(state, cap.asid)
    if root == 0:
        raise failed_lookup(err.INVALID_ROOT)
    if root != cap.paddr:
        raise invalid_capability(1)


def decode_page_table(state: State, call: Call, slot: Slot, cap: PageTableCap) -> Invocation:
    """PageTable_Map (vaddr, attr; vspace) and PageTable_Unmap."""
    if call.label == labels.PAGE_TABLE_UNMAP:
        is_root = cap.is_mapped and vspace_root(state, cap.asid) == cap.paddr
        if is_root or not slots.is_final(slot):
            raise SyscallError(err.REVOKE_FIRST)
        return partial(perform_page_table_unmap, state, slot, cap)
    if call.label != labels.PAGE_TABLE_MAP:
        raise illegal_operation()
    call.require(2, caps=1)
    if cap.is_mapped:
        raise invalid_capability(0)
    vaddr = call.arg(0)
    root = _checked_vspace(state, call.cap(0))
    if vaddr >= obj.USER_TOP:
        raise invalid_argument(0)
    _check_root(state, root)
    pt_slot, bits = vspace.lookup_pt_slot(state, root.paddr, vaddr)
    if bits == obj.PAGE_BITS or state.machine.read_word(pt_slot) & vspace.PTE_VALID:
        raise SyscallError(err.DELETE_FIRST)
    mapped = PageTableCap(cap.paddr, True, root.asid, vaddr & ~MASK[bits])
    return partial(perform_map, state, slot, mapped, pt_slot, vspace.table_pte(cap.paddr))


def perform_map(state: State, slot: Slot, cap: FrameCap | PageTableCap, pt_slot: int, pte: int) -> None:
    """Write the entry, and into the cap where it is mapped."""
    slot.cap = cap
    vspace.write_pte(state, pt_slot, pte)


def perform_page_table_unmap(state: State, slot: Slot, cap: PageTableCap) -> None:
    """Take a table out of its address space and clear it; what was mapped below it has to be mapped again."""
    if cap.is_mapped:
        vspace.unmap_page_table(state, cap)
        state.machine.clear(cap.paddr, BIT[obj.PAGE_TABLE_BITS])
    slot.cap = replace(cap, is_mapped=False)


def decode_frame(state: State, call: Call, slot: Slot, cap: FrameCap) -> Invocation:
    """Page_Map (vaddr, rights, attr; vspace), Page_Unmap, Page_GetAddress; Page_MapIO with an IOMMU."""
    match call.label:
        case labels.PAGE_MAP:
            return _decode_page_map(state, call, slot, cap)
        case labels.PAGE_UNMAP:
            return partial(perform_page_unmap, state, slot, cap)
        case labels.PAGE_GET_ADDRESS:
            return partial(perform_get_address, cap)
        case io.PAGE_MAP_IO if state.config.has_iommu:
            return decode_page_map_io(state, call, slot, cap)
        case _:
            raise illegal_operation()


def _decode_page_map(state: State, call: Call, slot: Slot, cap: FrameCap) -> Invocation:
    call.require(3, caps=1)
    vaddr, rights, attr = call.args(3)
    root = _checked_vspace(state, call.cap(0))
    _check_root(state, root)
    if vaddr + MASK[cap.size_bits] & MASK[64] >= obj.USER_TOP:
        raise invalid_argument(0)
    if vaddr & MASK[cap.size_bits]:
        raise SyscallError(err.ALIGNMENT_ERROR)
    pt_slot, bits = vspace.lookup_pt_slot(state, root.paddr, vaddr)
    if bits != cap.size_bits:
        raise failed_lookup(err.MISSING_CAPABILITY, bits)
    _check_remap(cap, root.asid, vaddr, state.machine.read_word(pt_slot))
    mapped = FrameCap(cap.paddr, cap.size_bits, cap.rights, cap.is_device, root.asid, vaddr)
    executable = not attr & EXECUTE_NEVER
    pte = vspace.user_pte(cap.paddr, mask_vm_rights(cap.rights, rights), executable=executable)
    return partial(perform_map, state, slot, mapped, pt_slot, pte)


def _check_remap(cap: FrameCap, asid: int, vaddr: int, pte: int) -> None:
    """A mapped frame cap may only change its rights, at the same place."""
    if cap.io is not None:
        raise invalid_capability(0)
    if not cap.asid:
        if pte & vspace.PTE_VALID:
            raise SyscallError(err.DELETE_FIRST)
        return
    if cap.asid != asid:
        raise invalid_capability(1)
    if cap.vaddr != vaddr:
        raise invalid_argument(0)
    if vspace.is_table_pte(pte):
        raise SyscallError(err.DELETE_FIRST)


def perform_page_unmap(state: State, slot: Slot, cap: FrameCap) -> None:
    """Remove the mapping that this cap made, in an address space or an IOSpace."""
    if cap.io is not None:
        iospace.unmap_frame(state, cap)
    elif cap.asid:
        vspace.unmap_page(state, cap)
    slot.cap = FrameCap(cap.paddr, cap.size_bits, cap.rights, cap.is_device)


def perform_get_address(cap: FrameCap) -> Results:
    """The physical address of a frame, in bytes."""
    return (cap.paddr,)


def decode_asid_control(state: State, call: Call, slot: Slot, cap: ASIDControlCap) -> Invocation:
    """ASIDControl_MakePool: index, depth; untyped of exactly 4 KiB, root."""
    if call.label != labels.ASID_CONTROL_MAKE_POOL:
        raise illegal_operation()
    call.require(2, caps=2)
    free = [high for high in range(obj.ASID_POOL_COUNT) if high not in state.asid_table]
    if not free:
        raise SyscallError(err.DELETE_FIRST)
    parent = call.extra_caps[0]
    untyped = parent.cap
    if not isinstance(untyped, UntypedCap) or untyped.size_bits != obj.ASID_POOL_BITS or untyped.is_device:
        raise invalid_capability(1)
    slots.ensure_no_children(parent)
    dest = lookup_cnode_slot(call.cap(1), call.arg(0), call.arg(1))
    slots.ensure_empty(dest)
    return partial(perform_make_pool, state, parent, untyped, dest, free[0])


def perform_make_pool(state: State, parent: Slot, untyped: UntypedCap, dest: Slot, high: int) -> None:
    """Turn an untyped into 512 address space identifiers."""
    parent.cap = replace(untyped, free_offset=BIT[untyped.size_bits])
    state.machine.clear(untyped.paddr, BIT[obj.ASID_POOL_BITS])
    pool = ASIDPool(untyped.paddr, high << obj.ASID_LOW_BITS)
    slots.insert_derived(ASIDPoolCap(pool, pool.base), parent, dest)
    state.asid_table[high] = pool


def decode_asid_pool(state: State, call: Call, slot: Slot, cap: ASIDPoolCap) -> Invocation:
    """ASIDPool_Assign: an unmapped page table becomes the root of an address space."""
    if call.label != labels.ASID_POOL_ASSIGN:
        raise illegal_operation()
    call.require(0, caps=1)
    target = call.extra_caps[0]
    root = target.cap
    if not isinstance(root, PageTableCap) or root.is_mapped:
        raise invalid_capability(1)
    pool = state.asid_table.get(cap.base >> obj.ASID_LOW_BITS)
    if pool is None:
        raise failed_lookup(err.INVALID_ROOT)
    if pool is not cap.pool:
        raise invalid_capability(0)
    low = 1 if pool.base == 0 else 0
    while low in pool.roots:
        low += 1
    if low > MASK[obj.ASID_LOW_BITS]:
        raise SyscallError(err.DELETE_FIRST)
    return partial(perform_assign, target, root, pool, low)


def perform_assign(target: Slot, root: PageTableCap, pool: ASIDPool, low: int) -> None:
    """Give a root table an identifier."""
    target.cap = PageTableCap(root.paddr, True, pool.base + low, 0)
    pool.roots[low] = root.paddr
