"""Invocations of I/O page tables, and mapping frames for devices; only on boards with an IOMMU."""

from functools import partial

from capkernel.abi import errors as err
from capkernel.abi import iospace as io
from capkernel.abi import rights as rt
from capkernel.abi.objects import PAGE_BITS
from specs.abstract.caps import Cap, FrameCap, IOPageTableCap, IOSpaceCap
from specs.abstract.cdt import set_cap
from specs.abstract.invocation import Call, Invocation, require
from specs.abstract.iospace import (
    LEAF_LEVEL,
    IOEntry,
    delete_io_page_table,
    lookup_io_pt_slot,
    set_context,
    store_io_pte,
)
from specs.abstract.objects import IOPageTable, Ptr
from specs.abstract.state import CSlot, State, SyscallError, clear_memory, get_cap, get_io_page_table

BOTH = io.IO_READ | io.IO_WRITE
TABLE_SPAN_BITS = PAGE_BITS + io.IO_PT_INDEX_BITS


def _device(cap: Cap) -> IOSpaceCap:
    """The IOSpace of a device; the master's is none. Raises SyscallError."""
    if not isinstance(cap, IOSpaceCap) or cap.request_id == 0:
        raise SyscallError(err.INVALID_CAPABILITY, 0)
    return cap


def decode_io_space_invocation(s: State, call: Call, cap: IOSpaceCap) -> Invocation:
    """An IOSpace has no methods. Raises SyscallError."""
    raise SyscallError(err.ILLEGAL_OPERATION)


def decode_io_page_table_invocation(s: State, call: Call, cap: IOPageTableCap) -> Invocation:
    """Map (I/O address; IOSpace) and Unmap. Raises SyscallError."""
    if call.label == io.IO_PAGE_TABLE_UNMAP:
        return partial(_unmap, s, call.slot, cap)
    if call.label != io.IO_PAGE_TABLE_MAP:
        raise SyscallError(err.ILLEGAL_OPERATION)
    require(call, 1, 1)
    if cap.io is not None:
        raise SyscallError(err.INVALID_CAPABILITY, 0)
    device = _device(get_cap(s, call.extra_caps[0]))
    ioaddr = call.arg(0) >> TABLE_SPAN_BITS << TABLE_SPAN_BITS
    new = cap._replace(io=(device.domain_id, device.request_id), ioaddr=ioaddr)
    context = s.io_contexts.get(device.request_id)
    if context is None:
        return partial(_map_root, s, call.slot, new, device)
    slot, level = lookup_io_pt_slot(s, context[1], ioaddr)
    if level == LEAF_LEVEL or slot[1] in get_io_page_table(s, slot[0]).entries:
        raise SyscallError(err.DELETE_FIRST)
    return partial(_map, s, call.slot, new._replace(level=level + 1), slot, (cap.ptr, BOTH), context[0])


def _map_root(s: State, slot: CSlot, cap: IOPageTableCap, device: IOSpaceCap) -> None:
    set_cap(s, cap, slot)
    set_context(s, device, cap.ptr)


def _map(s: State, cap_slot: CSlot, cap: Cap, slot: tuple[Ptr, int], entry: IOEntry, domain_id: int) -> None:
    set_cap(s, cap, cap_slot)
    store_io_pte(s, slot, entry, domain_id)


def _unmap(s: State, slot: CSlot, cap: IOPageTableCap) -> None:
    """A table that is taken out is emptied, as those of address spaces are."""
    if cap.io is not None:
        delete_io_page_table(s, cap)
        s.kheap[cap.ptr] = IOPageTable({})
        clear_memory(s, cap.ptr, 2**io.IO_PAGE_TABLE_BITS)
    set_cap(s, IOPageTableCap(cap.ptr), slot)


def decode_page_map_io(s: State, call: Call, cap: FrameCap) -> Invocation:
    """Rights, I/O address; IOSpace. Raises SyscallError."""
    require(call, 2, 1)
    if cap.size_bits != PAGE_BITS or cap.asid or cap.io is not None:
        raise SyscallError(err.INVALID_CAPABILITY, 0)
    ioaddr = call.arg(1) >> PAGE_BITS << PAGE_BITS
    device = _device(get_cap(s, call.extra_caps[0]))
    context = s.io_contexts.get(device.request_id)
    if context is None:
        raise SyscallError(err.FAILED_LOOKUP, 0, err.INVALID_ROOT)
    slot, level = lookup_io_pt_slot(s, context[1], ioaddr)
    if level != LEAF_LEVEL:
        missing = PAGE_BITS + io.IO_PT_INDEX_BITS * (LEAF_LEVEL - level)
        raise SyscallError(err.FAILED_LOOKUP, 0, err.MISSING_CAPABILITY, missing)
    if slot[1] in get_io_page_table(s, slot[0]).entries:
        raise SyscallError(err.DELETE_FIRST)
    allowed = cap.rights & call.arg(0)
    permissions = (io.IO_READ if allowed & rt.READ else 0) | (io.IO_WRITE if allowed & rt.WRITE else 0)
    if not permissions:
        raise SyscallError(err.INVALID_ARGUMENT, 0)
    new = cap._replace(io=(device.domain_id, device.request_id), vaddr=ioaddr)
    return partial(_map, s, call.slot, new, slot, (cap.ptr, permissions), context[0])
