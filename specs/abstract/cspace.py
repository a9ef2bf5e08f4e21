"""From an address to a slot (manual, section 3.3)."""

from capkernel.abi import errors as err
from specs.abstract.caps import Cap, CNodeCap
from specs.abstract.objects import CTABLE, Ptr
from specs.abstract.state import CSlot, LookupFailed, State, SyscallError, get_cap

WORD_BITS = 64


def resolve_address_bits(s: State, cap: Cap, cptr: int, depth: int) -> tuple[CSlot, int]:
    """The slot that the low ``depth`` bits of an address lead to from a CNode cap, and the number of bits left.

    A level takes its guard off the address, which must match, and an index; the walk ends with the address, or at a
    cap that is not a CNode. Raises LookupFailed.
    """
    if not isinstance(cap, CNodeCap):
        raise LookupFailed(err.INVALID_ROOT)
    bits = cap.guard_size + cap.radix
    if depth < cap.guard_size or (cptr >> depth - cap.guard_size) % 2**cap.guard_size != cap.guard:
        raise LookupFailed(err.GUARD_MISMATCH, depth, cap.guard, cap.guard_size)
    if depth < bits:
        raise LookupFailed(err.DEPTH_MISMATCH, depth, bits)
    left = depth - bits
    slot = cap.ptr, (cptr >> left) % 2**cap.radix
    if left and isinstance(inner := get_cap(s, slot), CNodeCap):
        return resolve_address_bits(s, inner, cptr, left)
    return slot, left


def lookup_slot_for_thread(s: State, thread: Ptr, cptr: int) -> CSlot:
    """The slot at a thread's cap address; bits that are left over do not matter. Raises LookupFailed."""
    return resolve_address_bits(s, get_cap(s, (thread, CTABLE)), cptr, WORD_BITS)[0]


def lookup_cap(s: State, thread: Ptr, cptr: int) -> Cap:
    """The cap at a thread's cap address. Raises LookupFailed."""
    return get_cap(s, lookup_slot_for_thread(s, thread, cptr))


def lookup_slot_for_cnode_op(s: State, is_source: bool, root: Cap, cptr: int, depth: int) -> CSlot:
    """The slot that an invocation names by root, index and depth; no bit may be left. Raises SyscallError."""
    try:
        if not isinstance(root, CNodeCap):
            raise LookupFailed(err.INVALID_ROOT)
        if not 1 <= depth <= WORD_BITS:
            raise SyscallError(err.RANGE_ERROR, 1, WORD_BITS)
        slot, left = resolve_address_bits(s, root, cptr, depth)
        if left:
            raise LookupFailed(err.DEPTH_MISMATCH, left, 0)
    except LookupFailed as failed:
        kind, words = failed.failure
        raise SyscallError(err.FAILED_LOOKUP, int(is_source), kind, *words) from None
    return slot
