"""I/O page tables and mapping frames for devices; answered only by a kernel with an IOMMU."""

from dataclasses import replace
from functools import partial

from capkernel.abi import errors as err
from capkernel.abi import iospace as io
from capkernel.abi import rights as rt
from capkernel.abi.objects import PAGE_BITS
from capkernel.abi.words import BIT, MASK
from capkernel.kernel import iospace
from capkernel.kernel.caps import FrameCap, IOPageTableCap, IOSpaceCap
from capkernel.kernel.errors import (
    SyscallError,
    failed_lookup,
    illegal_operation,
    invalid_argument,
    invalid_capability,
)
from capkernel.kernel.invocations.call import Call, Invocation
from capkernel.kernel.objects import Cap, Slot
from capkernel.kernel.state import State


def decode_io_space(state: State, call: Call, slot: Slot, cap: IOSpaceCap) -> Invocation:
    """An IOSpace cap is only ever an argument."""
    raise illegal_operation()


def _checked_device(cap: Cap) -> IOSpaceCap:
    """An IOSpace of a device; the master will not do."""
    if not isinstance(cap, IOSpaceCap) or cap.request_id == 0:
        raise invalid_capability(0)
    return cap


def decode_io_page_table(state: State, call: Call, slot: Slot, cap: IOPageTableCap) -> Invocation:
    """IOPageTable_Map (ioaddr; iospace) and IOPageTable_Unmap."""
    if call.label == io.IO_PAGE_TABLE_UNMAP:
        return partial(perform_io_unmap, state, slot, cap)
    if call.label != io.IO_PAGE_TABLE_MAP:
        raise illegal_operation()
    call.require(1, caps=1)
    if cap.io is not None:
        raise invalid_capability(0)
    device = _checked_device(call.cap(0))
    ioaddr = call.arg(0) & ~MASK[io.IO_PT_INDEX_BITS + PAGE_BITS]
    mapped = replace(cap, io=(device.domain_id, device.request_id), ioaddr=ioaddr)
    if device.request_id not in state.io_contexts:
        return partial(perform_io_map_root, state, slot, mapped, device)
    domain_id, root = state.io_contexts[device.request_id]
    io_slot, level = iospace.lookup_io_slot(state, root, ioaddr)
    if level == iospace.LEAF_LEVEL or state.machine.read_word(io_slot):
        raise SyscallError(err.DELETE_FIRST)
    pte = iospace.io_pte(cap.paddr, io.IO_READ | io.IO_WRITE)
    return partial(perform_io_map, state, slot, replace(mapped, level=level + 1), io_slot, pte, domain_id)


def perform_io_map_root(state: State, slot: Slot, cap: IOPageTableCap, device: IOSpaceCap) -> None:
    """The first table of a device is the root of its tree."""
    slot.cap = cap
    iospace.set_context(state, device.request_id, device.domain_id, cap.paddr)


def perform_io_map(
    state: State, slot: Slot, cap: FrameCap | IOPageTableCap, io_slot: int, pte: int, domain_id: int
) -> None:
    """Write an entry of an I/O page table."""
    slot.cap = cap
    iospace.write_io_pte(state, io_slot, pte, domain_id)


def perform_io_unmap(state: State, slot: Slot, cap: IOPageTableCap) -> None:
    """Take a table out of its tree and clear it: in another device's tree it would show what it led to here."""
    if cap.io is not None:
        iospace.finalise_page_table(state, cap)
        state.machine.clear(cap.paddr, BIT[io.IO_PAGE_TABLE_BITS])
    slot.cap = replace(cap, io=None, level=0, ioaddr=0)


def decode_page_map_io(state: State, call: Call, slot: Slot, cap: FrameCap) -> Invocation:
    """Page_MapIO: rights, ioaddr; iospace."""
    call.require(2, caps=1)
    if cap.size_bits != PAGE_BITS or cap.asid or cap.io is not None:
        raise invalid_capability(0)
    ioaddr = call.arg(1) & ~MASK[PAGE_BITS]
    device = _checked_device(call.cap(0))
    if device.request_id not in state.io_contexts:
        raise failed_lookup(err.INVALID_ROOT)
    domain_id, root = state.io_contexts[device.request_id]
    io_slot, level = iospace.lookup_io_slot(state, root, ioaddr)
    if level != iospace.LEAF_LEVEL:
        raise failed_lookup(err.MISSING_CAPABILITY, PAGE_BITS + io.IO_PT_INDEX_BITS * (iospace.LEAF_LEVEL - level))
    if state.machine.read_word(io_slot):
        raise SyscallError(err.DELETE_FIRST)
    permissions = _io_permissions(cap.rights & call.arg(0))
    if not permissions:
        raise invalid_argument(0)
    mapped = replace(cap, io=(device.domain_id, device.request_id), vaddr=ioaddr)
    return partial(perform_io_map, state, slot, mapped, io_slot, iospace.io_pte(cap.paddr, permissions), domain_id)


def _io_permissions(rights: int) -> int:
    return (io.IO_READ if rights & rt.READ else 0) | (io.IO_WRITE if rights & rt.WRITE else 0)
