"""Slots that outlive their program (``kind="slots"`` with ``lasts="yes"``), for caps that the next one is to find."""

from capkernel.abi.words import WORD_BITS
from capkernel.protocols.failures import NoSpace
from capkernel.user import stubs
from capkernel.user.inbox import Inbox
from capkernel.user.syscalls import Syscalls


class LastingSlots:
    """Some ``slots`` of a granted CNode: ``cnode`` is the cap to it, ``base`` the cap address of slot 0.

    Which of them are in use must be written down by whoever uses them. What a former life left in another is deleted
    when that slot is used.
    """

    def __init__(self, sys: Syscalls, cnode: int, base: int, slots: range) -> None:
        self.sys = sys
        self.cnode = cnode
        self.base = base
        self.slots = slots
        self.taken: set[int] = set()

    def address(self, slot: int) -> int:
        """By which the cap in a slot is used."""
        return self.base | slot

    def slot_of(self, address: int) -> int | None:
        """The slot that a cap's address means, if it is one of these."""
        return address - self.base if address - self.base in self.slots else None

    async def take(self, inbox: Inbox, cap: int) -> int:
        """Move a cap that was received into a slot. Raises NoSpace; then the cap is where it was."""
        slot = next((slot for slot in self.slots if slot not in self.taken), None)
        if slot is None:
            raise NoSpace(f"all of {len(self.slots)} slots that last are in use")
        self.taken.add(slot)
        await stubs.cnode_delete(self.sys, self.cnode, index=slot, depth=WORD_BITS)
        await stubs.cnode_move(
            self.sys, self.cnode, dest_index=slot, dest_depth=WORD_BITS, src_root=inbox.slots.cnode, src_index=cap,
            src_depth=inbox.slots.depth,
        )  # fmt: skip
        inbox.slots.free(cap)
        return slot

    async def empty(self, slot: int) -> None:
        """Delete the cap in a slot."""
        await stubs.cnode_delete(self.sys, self.cnode, index=slot, depth=WORD_BITS)
        self.taken.discard(slot)

    def claim(self, slot: int) -> None:
        """A slot is in use: so it was written down. Raises ValueError if it is none, or in use already."""
        if slot not in self.slots or slot in self.taken:
            raise ValueError(f"slot {slot} cannot be in use, or is so twice")
        self.taken.add(slot)
