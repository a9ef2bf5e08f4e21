"""Untyped memory: Retype, the only way in which objects come to be (manual, section 2.4)."""

from functools import partial

from capkernel.abi import errors as err
from capkernel.abi import labels
from capkernel.abi import objects as obj
from capkernel.abi.iospace import IO_PAGE_TABLE_BITS, OBJECT_IO_PAGE_TABLE
from capkernel.abi.words import BIT, align_down, align_up
from capkernel.kernel import slots
from capkernel.kernel.budget import preemption_point, units_until_check
from capkernel.kernel.caps import FIRST_CAPS, CNodeCap, ThreadCap, UntypedCap
from capkernel.kernel.cspace import lookup_cnode_slot
from capkernel.kernel.errors import (
    SyscallError,
    failed_lookup,
    illegal_operation,
    invalid_argument,
    range_error,
)
from capkernel.kernel.invocations.call import Call, Invocation
from capkernel.kernel.objects import NULL, CNode, KernelBug, Slot
from capkernel.kernel.state import State


def decode_untyped(state: State, call: Call, slot: Slot, cap: UntypedCap) -> Invocation:
    """Untyped_Retype: type, size_bits, node_index, node_depth, node_offset, num_objects; root."""
    if call.label != labels.UNTYPED_RETYPE:
        raise illegal_operation()
    call.require(6, caps=1)
    object_type, size_bits, node_index, node_depth, offset, count = call.args(6)
    object_bits = _checked_size(state, object_type, size_bits)
    node = _destination_node(call, node_index, node_depth)
    dests = _checked_window(state, node, offset, count)
    reset = not slots.has_children(slot)
    free_offset = 0 if reset else cap.free_offset
    free_bytes = BIT[cap.size_bits] - free_offset
    if free_bytes >> object_bits < count:
        raise SyscallError(err.NOT_ENOUGH_MEMORY, free_bytes)
    if cap.is_device and object_type not in obj.FRAME_TYPES and object_type != obj.UNTYPED:
        raise invalid_argument(1)
    first = align_up(cap.paddr + free_offset, object_bits)
    return partial(perform_retype, state, slot, reset, first, object_type, size_bits, object_bits, dests)


def _checked_size(state: State, object_type: int, size_bits: int) -> int:
    """log2 of the bytes of one object; raises InvalidArgument 0 or 1, or RangeError."""
    if object_type == OBJECT_IO_PAGE_TABLE and state.config.has_iommu:
        return IO_PAGE_TABLE_BITS
    if object_type >= obj.OBJECT_TYPE_COUNT:
        raise invalid_argument(0)
    object_bits = obj.object_size_bits(object_type, size_bits)
    if size_bits >= 64 or object_bits > obj.MAX_UNTYPED_BITS:
        raise range_error(0, obj.MAX_UNTYPED_BITS)
    if size_bits < _LEAST_SIZE_BITS.get(object_type, 0):
        raise invalid_argument(1)
    return object_bits


_LEAST_SIZE_BITS = {
    obj.CNODE: 1,
    obj.UNTYPED: obj.MIN_UNTYPED_BITS,
    obj.SCHED_CONTEXT: obj.MIN_SCHED_CONTEXT_BITS,
}


def _destination_node(call: Call, index: int, depth: int) -> CNode:
    """The CNode to fill; with depth 0 it is the root itself."""
    root = call.cap(0)
    node = root if depth == 0 else lookup_cnode_slot(root, index, depth).cap
    if not isinstance(node, CNodeCap):
        raise failed_lookup(err.MISSING_CAPABILITY, depth)
    return node.cnode


def _checked_window(state: State, node: CNode, offset: int, count: int) -> list[Slot]:
    """The slots to fill, all empty."""
    size = BIT[node.radix]
    if offset >= size:
        raise range_error(0, size - 1)
    if not 1 <= count <= state.config.retype_fan_out_limit:
        raise range_error(1, state.config.retype_fan_out_limit)
    if count > size - offset:
        raise range_error(1, size - offset)
    dests = [node.slot(index) for index in range(offset, offset + count)]
    for dest in dests:
        if dest.cap is not NULL:
            raise SyscallError(err.DELETE_FIRST)
    return dests


def perform_retype(
    state: State, slot: Slot, reset: bool, first: int, object_type: int, size_bits: int, object_bits: int,
    dests: list[Slot],
) -> None:  # fmt: skip
    """Make an object for each of ``dests``, from address ``first`` on (invokeUntyped_Retype).

    Raises Preempted while it clears memory.
    """
    if reset:
        reset_untyped(state, slot)
    untyped = slot.cap
    if not isinstance(untyped, UntypedCap):
        raise KernelBug("retype of a slot without untyped")
    make = FIRST_CAPS[object_type]
    paddr = first
    for dest in dests:
        cap = make(paddr, size_bits, untyped.is_device)
        if isinstance(cap, ThreadCap):
            cap.tcb.domain = state.domain
            cap.tcb.name = f"child of: '{state.current.name}'"[:127]
        slots.insert_original(cap, slot, dest)
        paddr += BIT[object_bits]
    slot.cap = UntypedCap(untyped.paddr, untyped.size_bits, untyped.is_device, paddr - untyped.paddr)


def reset_untyped(state: State, slot: Slot) -> None:
    """Clear the used part from the top down, a chunk at a time; the watermark follows (resetUntypedCap)."""
    cap = slot.cap
    if not isinstance(cap, UntypedCap):
        raise KernelBug("reset of a slot without untyped")
    chunk_bits = state.config.reset_chunk_bits
    if cap.free_offset == 0:
        return
    if cap.is_device or cap.size_bits < chunk_bits:
        if not cap.is_device:
            state.machine.clear(cap.paddr, BIT[cap.size_bits])
        slot.cap = UntypedCap(cap.paddr, cap.size_bits, cap.is_device, 0)
        return
    top = cap.free_offset
    while top > 0:
        chunks = min(units_until_check(state), (top + BIT[chunk_bits] - 1) >> chunk_bits)
        bottom = align_down(top - 1, chunk_bits) - (chunks - 1 << chunk_bits)
        state.machine.clear(cap.paddr + bottom, align_up(top, chunk_bits) - bottom)
        slot.cap = UntypedCap(cap.paddr, cap.size_bits, False, bottom)
        preemption_point(state, chunks)
        top = bottom
