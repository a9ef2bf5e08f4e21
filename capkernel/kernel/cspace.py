"""Walking a CSpace: from a cap address to a slot (manual, section 3.3)."""

from capkernel.abi import errors as err
from capkernel.abi.words import MASK, WORD_BITS
from capkernel.kernel.caps import CNodeCap
from capkernel.kernel.errors import LookupFault, failed_lookup, range_error
from capkernel.kernel.objects import TCB, Cap, Slot


def resolve_address_bits(root: Cap, address: int, bits: int) -> tuple[Slot, int]:
    """The slot that the low ``bits`` of the address lead to, and how many of them were left over.

    Raises LookupFault: InvalidRoot, GuardMismatch (bits left, guard wanted, its size) or DepthMismatch (bits
    that the level needs, bits left).
    """
    if not isinstance(root, CNodeCap):
        raise LookupFault(err.INVALID_ROOT)
    node = root
    while True:
        radix, guard_size = node.radix, node.guard_size
        # A guard longer than what is left cannot match; the address is compared with the guard's own width.
        if guard_size > bits or address >> (bits - guard_size) & MASK[guard_size] != node.guard:
            raise LookupFault(err.GUARD_MISMATCH, bits, node.guard, guard_size)
        if radix + guard_size > bits:
            raise LookupFault(err.DEPTH_MISMATCH, bits, radix + guard_size)
        bits -= radix + guard_size
        slot = node.cnode.slot(address >> bits & MASK[radix])
        if bits == 0:
            return slot, 0
        # Bits are left over: go on if the slot leads to another CNode, else let the caller decide.
        inner = slot.cap
        if not isinstance(inner, CNodeCap):
            return slot, bits
        node = inner


def lookup_slot(thread: TCB, address: int) -> Slot:
    """The slot at a 64-bit cap address of the thread; bits left over are ignored (lookupSlot)."""
    root = thread.cspace_slot.cap
    if isinstance(root, CNodeCap) and root.radix + root.guard_size == WORD_BITS and address >> root.radix == root.guard:
        # Most CSpaces are one CNode, whose guard fills up the address, and most slots have been touched.
        index = address & MASK[root.radix]
        return root.cnode.slots.get(index) or root.cnode.slot(index)
    return resolve_address_bits(root, address, WORD_BITS)[0]


def lookup_cap(thread: TCB, address: int) -> Cap:
    """The cap at a 64-bit cap address of the thread; ``NULL`` for an empty slot."""
    return lookup_slot(thread, address).cap


def lookup_cnode_slot(root: Cap, index: int, depth: int, *, is_source: bool = False) -> Slot:
    """The slot that a CNode operation addresses: exactly ``depth`` bits below ``root`` (lookupSlotForCNodeOp).

    Raises FailedLookup or RangeError(1, 64).
    """
    if not isinstance(root, CNodeCap):
        raise failed_lookup(err.INVALID_ROOT, is_source=is_source)
    if not 1 <= depth <= WORD_BITS:
        raise range_error(1, WORD_BITS)
    try:
        slot, left = resolve_address_bits(root, index, depth)
    except LookupFault as fault:
        raise failed_lookup(fault.failure.kind, *fault.failure.words, is_source=is_source) from None
    if left:
        raise failed_lookup(err.DEPTH_MISMATCH, left, 0, is_source=is_source)
    return slot
