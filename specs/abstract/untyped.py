"""Untyped_Retype: the only way in which objects come to be (manual, section 2.4)."""

from functools import partial
from typing import NamedTuple

from capkernel.abi import errors as err
from capkernel.abi import labels
from capkernel.abi import objects as obj
from capkernel.abi import rights as rt
from capkernel.abi.iospace import IO_PAGE_TABLE_BITS, OBJECT_IO_PAGE_TABLE
from capkernel.abi.words import align_up
from specs.abstract.budget import preemption_point
from specs.abstract.caps import (
    Cap,
    CNodeCap,
    EndpointCap,
    FrameCap,
    IOPageTableCap,
    NotificationCap,
    PageTableCap,
    ReplyCap,
    SchedContextCap,
    ThreadCap,
    UntypedCap,
)
from specs.abstract.cdt import children, create_cap, ensure_empty, set_cap
from specs.abstract.cspace import lookup_slot_for_cnode_op
from specs.abstract.invocation import Call, Invocation, require
from specs.abstract.objects import (
    TCB,
    CNode,
    Endpoint,
    IOPageTable,
    Notification,
    Object,
    PageTable,
    Ptr,
    Reply,
    SchedContext,
)
from specs.abstract.state import CSlot, State, SyscallError, clear_memory, get_cap, get_tcb

_LEAST = {obj.CNODE: 1, obj.UNTYPED: obj.MIN_UNTYPED_BITS, obj.SCHED_CONTEXT: obj.MIN_SCHED_CONTEXT_BITS}
NAME_LENGTH = 127


class Retype(NamedTuple):
    """A decoded request. ``reset`` says that the untyped has no children, so that all of it can be used again."""

    untyped: CSlot
    reset: bool
    base: Ptr
    object_type: int
    user_bits: int
    object_bits: int
    dests: tuple[CSlot, ...]


def decode_untyped_invocation(s: State, call: Call, cap: UntypedCap) -> Invocation:
    """Type, size bits, node index, node depth, node offset, number of objects; the root CNode. Raises SyscallError."""
    if call.label != labels.UNTYPED_RETYPE:
        raise SyscallError(err.ILLEGAL_OPERATION)
    require(call, 6, 1)
    object_type, user_bits, index, depth, offset, count = (call.arg(n) for n in range(6))
    object_bits = data_to_obj_type(s, object_type, user_bits)
    node = get_cap(s, call.extra_caps[0])
    if depth:
        node = get_cap(s, lookup_slot_for_cnode_op(s, False, node, index, depth))
    if not isinstance(node, CNodeCap):
        raise SyscallError(err.FAILED_LOOKUP, 0, err.MISSING_CAPABILITY, depth)
    dests = _destinations(s, node, offset, count)
    reset = not children(s, call.slot)
    free_index = 0 if reset else cap.free_index
    free_bytes = 2**cap.size_bits - free_index
    if count * 2**object_bits > free_bytes:
        raise SyscallError(err.NOT_ENOUGH_MEMORY, free_bytes)
    if cap.is_device and object_type not in obj.FRAME_TYPES | {obj.UNTYPED}:
        raise SyscallError(err.INVALID_ARGUMENT, 1)
    base = align_up(cap.ptr + free_index, object_bits)
    return partial(invoke_untyped, s, Retype(call.slot, reset, base, object_type, user_bits, object_bits, dests))


def data_to_obj_type(s: State, object_type: int, user_bits: int) -> int:
    """log2 of the bytes of an object of this type. Raises SyscallError."""
    if object_type == OBJECT_IO_PAGE_TABLE and s.config.has_iommu:
        return IO_PAGE_TABLE_BITS
    if object_type >= obj.OBJECT_TYPE_COUNT:
        raise SyscallError(err.INVALID_ARGUMENT, 0)
    if user_bits >= 64 or obj.object_size_bits(object_type, user_bits) > obj.MAX_UNTYPED_BITS:
        raise SyscallError(err.RANGE_ERROR, 0, obj.MAX_UNTYPED_BITS)
    if user_bits < _LEAST.get(object_type, 0):
        raise SyscallError(err.INVALID_ARGUMENT, 1)
    return obj.object_size_bits(object_type, user_bits)


def _destinations(s: State, node: CNodeCap, offset: int, count: int) -> tuple[CSlot, ...]:
    """The slots for the new caps. Raises SyscallError."""
    size, limit = 2**node.radix, s.config.retype_fan_out_limit
    if offset >= size:
        raise SyscallError(err.RANGE_ERROR, 0, size - 1)
    if not 1 <= count <= limit:
        raise SyscallError(err.RANGE_ERROR, 1, limit)
    if count > size - offset:
        raise SyscallError(err.RANGE_ERROR, 1, size - offset)
    dests = tuple((node.ptr, index) for index in range(offset, offset + count))
    for dest in dests:
        ensure_empty(s, dest)
    return dests


def invoke_untyped(s: State, request: Retype) -> None:
    """Make the objects, one behind the other. Raises Interrupted while memory is cleared."""
    if request.reset:
        reset_untyped_cap(s, request.untyped)
    untyped = get_cap(s, request.untyped)
    assert isinstance(untyped, UntypedCap)
    ptr = request.base
    for dest in request.dests:
        cap, item = default_object(s, request.object_type, request.user_bits, ptr, untyped.is_device)
        if item is not None:
            s.kheap[ptr] = item
        create_cap(s, cap, request.untyped, dest)
        ptr += 2**request.object_bits
    set_cap(s, untyped._replace(free_index=ptr - untyped.ptr), request.untyped)


def default_object(
    s: State, object_type: int, user_bits: int, ptr: Ptr, is_device: bool
) -> tuple[Cap, Object | None]:
    """A new object and the first cap to it. Frames and untypeds are nothing but memory."""
    match object_type:
        case obj.UNTYPED:
            return UntypedCap(ptr, user_bits, is_device, 0), None
        case obj.TCB:
            name = f"child of: '{get_tcb(s, s.cur_thread).name}'"[:NAME_LENGTH]
            return ThreadCap(ptr), TCB(domain=s.cur_domain, name=name)
        case obj.ENDPOINT:
            return EndpointCap(ptr, 0, rt.ALL), Endpoint()
        case obj.NOTIFICATION:
            return NotificationCap(ptr, 0, rt.READ_WRITE), Notification()
        case obj.REPLY:
            return ReplyCap(ptr, True), Reply()
        case obj.CNODE:
            return CNodeCap(ptr, user_bits, 0, 0), CNode(user_bits)
        case obj.SCHED_CONTEXT:
            return SchedContextCap(ptr, user_bits), SchedContext(user_bits)
        case obj.PAGE_TABLE:
            return PageTableCap(ptr), PageTable({})
        case _ if object_type == OBJECT_IO_PAGE_TABLE:
            return IOPageTableCap(ptr), IOPageTable({})
        case _:
            return FrameCap(ptr, obj.FIXED_SIZE_BITS[object_type], rt.READ_WRITE, is_device), None


def reset_untyped_cap(s: State, slot: CSlot) -> None:
    """Clear what was used, from the top down. Device memory is left as it is. Raises Interrupted."""
    cap = get_cap(s, slot)
    assert isinstance(cap, UntypedCap)
    if cap.free_index == 0:
        return
    delete_objects(s, cap.ptr, 2**cap.size_bits)
    chunk = 2**s.config.reset_chunk_bits
    if cap.is_device or 2**cap.size_bits < chunk:
        if not cap.is_device:
            clear_memory(s, cap.ptr, 2**cap.size_bits)
        set_cap(s, cap._replace(free_index=0), slot)
        return
    for start in range((cap.free_index - 1) // chunk * chunk, -1, -chunk):
        clear_memory(s, cap.ptr + start, chunk)
        set_cap(s, cap._replace(free_index=start), slot)
        preemption_point(s)


def delete_objects(s: State, base: Ptr, size: int) -> None:
    """Nothing is left of the objects in a region: no cap leads to them any more."""
    for ptr in [ptr for ptr in s.kheap if base <= ptr < base + size]:
        del s.kheap[ptr]
