"""Rules for page tables, pages and ASIDs, and for their counterparts behind an IOMMU (see ``case``)."""

from capkernel.abi import errors as err
from capkernel.abi import iospace as io
from capkernel.abi import objects as obj
from capkernel.abi.words import MASK
from capkernel.kernel import iospace, vspace
from capkernel.kernel.caps import (
    ASIDPoolCap,
    FrameCap,
    IOPageTableCap,
    IOSpaceCap,
    PageTableCap,
    UntypedCap,
    mask_vm_rights,
)
from capkernel.kernel.slots import has_children, is_final
from capkernel.tools.explain.case import Case, Verdicts, not_live_root, not_vspace, state_of, table_bits
from capkernel.tools.explain.census import other_caps, place_of
from capkernel.tools.explain.missing import Argument, Nothing, OnlyCap, Table, Unmapped
from capkernel.tools.explain.rules_cnode import revoke_first
from capkernel.tools.explain.walk import holds_nothing


def page_table_map(case: Case) -> Verdicts:
    """PageTable_Map."""
    yield from case.too_short()
    cap, slot = case.cap, case.extra("vspace")
    assert isinstance(cap, PageTableCap)
    if cap.is_mapped:
        what = state_of("PageTable", cap.paddr, "mapping", f"at {cap.vaddr:#x}", "none", "PageTable_Unmap")
        yield err.INVALID_CAPABILITY, what
    yield from not_vspace(case, slot)
    yield from case.outside("vaddr", 0, obj.USER_TOP - 1, err.INVALID_ARGUMENT)
    yield from not_live_root(case, slot)
    root, vaddr = slot.cap, case.word("vaddr")
    assert isinstance(root, PageTableCap)
    entry, bits = vspace.lookup_pt_slot(case.state, root.paddr, vaddr)
    if bits == obj.PAGE_BITS:
        above = bits + vspace.INDEX_BITS
        yield err.DELETE_FIRST, Unmapped(root.paddr, vaddr, above, "a page table of the last level")
    if case.state.machine.read_word(entry) & vspace.PTE_VALID:
        yield err.DELETE_FIRST, Unmapped(root.paddr, vaddr, bits, "a frame")


def page_table_unmap(case: Case) -> Verdicts:
    """PageTable_Unmap."""
    cap = case.cap
    assert isinstance(cap, PageTableCap)
    if cap.is_mapped and vspace.vspace_root(case.state, cap.asid) == cap.paddr:
        why = "the root of an address space is never unmapped, only deleted"
        yield err.REVOKE_FIRST, Nothing(why, ("CNode_Delete",))
    if not is_final(case.slot):
        others = tuple(place_of(other) for other in other_caps(case.state, case.slot))
        yield err.REVOKE_FIRST, OnlyCap(place_of(case.slot), others)


def page_map(case: Case) -> Verdicts:
    """Page_Map."""
    yield from case.too_short()
    cap, slot, vaddr = case.cap, case.extra("vspace"), case.word("vaddr")
    assert isinstance(cap, FrameCap)
    yield from not_vspace(case, slot)
    yield from not_live_root(case, slot)
    if vaddr + MASK[cap.size_bits] & MASK[64] >= obj.USER_TOP:
        last = obj.USER_TOP - 1 - MASK[cap.size_bits] & ~MASK[cap.size_bits]
        yield err.INVALID_ARGUMENT, Argument("vaddr", vaddr, 0, last, 1 << cap.size_bits)
    if vaddr & MASK[cap.size_bits]:
        yield err.ALIGNMENT_ERROR, Argument("vaddr", vaddr, 0, obj.USER_TOP - 1, 1 << cap.size_bits)
    root = slot.cap
    assert isinstance(root, PageTableCap)
    entry, bits = vspace.lookup_pt_slot(case.state, root.paddr, vaddr)
    if bits > cap.size_bits:
        pte = case.state.machine.read_word(entry)
        if pte & vspace.PTE_VALID:
            yield err.FAILED_LOOKUP, Unmapped(root.paddr, vaddr, bits, "a larger frame")
        yield err.FAILED_LOOKUP, Table(root.paddr, vaddr, bits, cap.size_bits)
    if bits < cap.size_bits:
        yield err.FAILED_LOOKUP, Unmapped(root.paddr, vaddr, bits + vspace.INDEX_BITS, "a page table")
    yield from _bad_remap(case, cap, root, case.state.machine.read_word(entry))


def _bad_remap(case: Case, cap: FrameCap, root: PageTableCap, pte: int) -> Verdicts:
    """A frame cap stands for one mapping; it may only change its rights there."""
    vaddr = case.word("vaddr")
    if cap.io is None and not cap.asid:
        if pte & vspace.PTE_VALID:
            yield err.DELETE_FIRST, Unmapped(root.paddr, vaddr, cap.size_bits, "a frame")
        return
    where = f"at {cap.vaddr:#x}" + (" for a device" if cap.io else f" in address space {cap.asid}")
    what = state_of("Frame", cap.paddr, "mapping of this cap", where, "none", "Page_Unmap")
    if cap.io is not None or cap.asid != root.asid:
        yield err.INVALID_CAPABILITY, what
    elif cap.vaddr != vaddr:
        yield err.INVALID_ARGUMENT, what
    if vspace.is_table_pte(pte):
        yield err.DELETE_FIRST, Unmapped(root.paddr, vaddr, table_bits(cap.size_bits), "a page table")


def make_pool(case: Case) -> Verdicts:
    """ASIDControl_MakePool."""
    yield from case.too_short()
    state, parent = case.state, case.extra("untyped")
    if len(state.asid_table) >= obj.ASID_POOL_COUNT:
        found = f"{obj.ASID_POOL_COUNT} pools"
        yield err.DELETE_FIRST, state_of("ASID table", 0, "free places", found, "one free", "CNode_Delete", "ASIDPool")
    cap = parent.cap
    if not isinstance(cap, UntypedCap) or cap.size_bits != obj.ASID_POOL_BITS or cap.is_device:
        that = f"of exactly 2**{obj.ASID_POOL_BITS} bytes of ordinary memory"
        yield err.INVALID_CAPABILITY, holds_nothing(parent, "Untyped", that=that)
    if has_children(parent):
        yield err.REVOKE_FIRST, revoke_first(parent)
    dest = case.target(case.extra("root"), "index", "depth", "destination slot")
    yield from case.not_found(dest)
    yield from case.not_empty(dest.slot)


def assign(case: Case) -> Verdicts:
    """ASIDPool_Assign."""
    yield from case.too_short()
    cap, slot = case.cap, case.extra("vspace")
    assert isinstance(cap, ASIDPoolCap)
    if not isinstance(slot.cap, PageTableCap) or slot.cap.is_mapped:
        yield err.INVALID_CAPABILITY, holds_nothing(slot, "PageTable", that="that is not mapped")
    pool = case.state.asid_table.get(cap.base >> obj.ASID_LOW_BITS)
    if pool is not cap.pool:
        code = err.FAILED_LOOKUP if pool is None else err.INVALID_CAPABILITY
        yield code, holds_nothing(case.slot, "ASIDPool", that="that still exists")
    full = f"{len(cap.pool.roots)} address spaces"
    what = state_of(cap.pool, cap.pool.paddr, "free identifiers", full, "one free", "CNode_Delete", "PageTable")
    yield err.DELETE_FIRST, what


def io_map(case: Case) -> Verdicts:
    """IOPageTable_Map, Page_MapIO."""
    yield from case.too_short()
    cap, slot = case.cap, case.extra("iospace")
    bits = obj.PAGE_BITS + (io.IO_PT_INDEX_BITS if case.spec.label == io.IO_PAGE_TABLE_MAP else 0)
    ioaddr = case.word("ioaddr") & ~MASK[bits]
    yield from _io_mapped(case)
    if not isinstance(slot.cap, IOSpaceCap) or slot.cap.request_id == 0:
        yield err.INVALID_CAPABILITY, holds_nothing(slot, "IOSpace", that="of one device")
    assert isinstance(slot.cap, IOSpaceCap)
    context = case.state.io_contexts.get(slot.cap.request_id)
    if context is None:
        yield err.FAILED_LOOKUP, Table(0, ioaddr, io.IO_ADDRESS_BITS, obj.PAGE_BITS)
        return
    entry, level = iospace.lookup_io_slot(case.state, context[1], ioaddr)
    ends_at = obj.PAGE_BITS + io.IO_PT_INDEX_BITS * (iospace.LEAF_LEVEL - level)
    if case.spec.label == io.IO_PAGE_TABLE_MAP:
        found = "a table of the last level"
        yield err.DELETE_FIRST, Unmapped(context[1], ioaddr, obj.PAGE_BITS + io.IO_PT_INDEX_BITS, found)
    if level != iospace.LEAF_LEVEL:
        yield err.FAILED_LOOKUP, Table(context[1], ioaddr, ends_at, obj.PAGE_BITS)
    if case.state.machine.read_word(entry):
        yield err.DELETE_FIRST, Unmapped(context[1], ioaddr, obj.PAGE_BITS, "a frame")
    assert isinstance(cap, FrameCap)
    if not mask_vm_rights(cap.rights, case.word("rights")):
        yield err.INVALID_ARGUMENT, Argument("rights", case.word("rights"), 2, 3)


def _io_mapped(case: Case) -> Verdicts:
    cap = case.cap
    if isinstance(cap, IOPageTableCap) and cap.io is not None:
        what = state_of("IOPageTable", cap.paddr, "mapping", f"at {cap.ioaddr:#x}", "none", "IOPageTable_Unmap")
        yield err.INVALID_CAPABILITY, what
    if isinstance(cap, FrameCap):
        if cap.size_bits != obj.PAGE_BITS:
            yield err.INVALID_CAPABILITY, holds_nothing(case.slot, "Frame", that="of 4 KiB")
        if cap.asid or cap.io is not None:
            what = state_of("Frame", cap.paddr, "mapping of this cap", f"at {cap.vaddr:#x}", "none", "Page_Unmap")
            yield err.INVALID_CAPABILITY, what
