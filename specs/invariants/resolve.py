"""From a cap address to a slot, by the manual (section 3.3); the oracle's own reading of it."""

from capkernel.abi import errors as err
from capkernel.kernel.caps import CNodeCap
from capkernel.kernel.objects import NULL, TCB, Cap, Slot


def resolve(root: Cap, address: int, depth: int) -> tuple[Slot | None, int]:
    """The slot and the bits left over; no slot if the address leads nowhere."""
    left = depth
    slot: Slot | None = None
    while isinstance(root, CNodeCap):
        level = root.guard_size + root.radix
        if level > left or address >> left - root.guard_size & (1 << root.guard_size) - 1 != root.guard:
            return None, left
        left -= level
        index = address >> left & (1 << root.radix) - 1
        # Slots that nobody ever touched need not exist; a look must not make them.
        slot = root.cnode.slots.get(index) or Slot(root.cnode, index)
        if not left:
            break
        root = slot.cap
    return slot, left


def slot_at(thread: TCB, address: int) -> Slot | None:
    """The slot at a 64-bit cap address of a thread, bits left over ignored."""
    return resolve(thread.cspace_slot.cap, address, 64)[0]


def slot_in(root: Cap, index: int, depth: int) -> Slot | None:
    """The slot exactly ``depth`` bits below a CNode."""
    if not 1 <= depth <= 64:
        return None
    slot, left = resolve(root, index, depth)
    return None if left else slot


def failure(root: Cap, address: int) -> tuple[int, ...] | None:
    """Why a 64-bit cap address leads to no slot: the kind of failure and its words; None if it leads to one."""
    if not isinstance(root, CNodeCap):
        return (err.INVALID_ROOT,)
    digits = f"{address & (1 << 64) - 1:064b}"
    while True:
        guard = f"{root.guard:064b}"[64 - root.guard_size :] if root.guard_size else ""
        if not digits.startswith(guard):
            return err.GUARD_MISMATCH, len(digits), root.guard, root.guard_size
        level = root.guard_size + root.radix
        if level > len(digits):
            return err.DEPTH_MISMATCH, len(digits), level
        index = int(digits[root.guard_size : level], 2)
        digits = digits[level:]
        inner = root.cnode.slots[index].cap if index in root.cnode.slots else NULL
        if not digits or not isinstance(inner, CNodeCap):
            return None
        root = inner
