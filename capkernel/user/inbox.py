"""Caps that come with messages: where they land, and how they get a slot of their own.

The kernel puts a received cap into one slot, which the receiver has named before. Here that is always the same slot,
the *landing*. A cap that was expected is moved on; one that was not is deleted, so nobody can fill a receiver's CSpace.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from capkernel.abi import rights as rt
from capkernel.user import stubs
from capkernel.user.allocators import SlotAllocator
from capkernel.user.syscalls import Message, Syscalls


class Inbox:
    """A thread's place for received caps; ``slots`` are numbered so that their numbers are also cap addresses."""

    def __init__(self, sys: Syscalls, slots: SlotAllocator) -> None:
        self.sys = sys
        self.slots = slots
        self.landing = slots.alloc()
        self._is_open = False

    async def open(self) -> None:
        """Let caps land from now on; the first call says so to the kernel."""
        if not self._is_open:
            await self.sys.set_receive_slot(self.slots.cnode, self.landing, self.slots.depth)
            self._is_open = True

    async def take(self, message: Message) -> int | None:
        """The address of the cap that came with a message, in a slot of its own; None if none came.

        Raises OutOfSlots, and then the cap is deleted.
        """
        if not has_cap(message):
            return None
        try:
            slot = self.slots.alloc()
        except Exception:
            await self._empty(self.landing)
            raise
        await stubs.cnode_move(
            self.sys, self.slots.cnode, dest_index=slot, dest_depth=self.slots.depth, src_root=self.slots.cnode,
            src_index=self.landing, src_depth=self.slots.depth,
        )  # fmt: skip
        return slot

    async def refuse(self, message: Message) -> None:
        """Delete a cap that came with a message and was not expected."""
        if has_cap(message):
            await self._empty(self.landing)

    async def discard(self, slot: int) -> None:
        """Delete a cap that was taken."""
        await self._empty(slot)
        self.slots.free(slot)

    @asynccontextmanager
    async def lent_signal(self, notification: int, channel: int) -> AsyncIterator[int]:
        """A cap by which somebody may signal a channel of ours, made from a cap to our notification.

        It is ours only as long as it is being sent.
        """
        slot = self.slots.alloc()
        await stubs.cnode_mint(
            self.sys, self.slots.cnode, dest_index=slot, dest_depth=self.slots.depth, src_root=self.slots.cnode,
            src_index=notification, src_depth=self.slots.depth, rights=rt.WRITE, badge=1 << channel,
        )  # fmt: skip
        try:
            yield slot
        finally:
            await self.discard(slot)

    async def _empty(self, slot: int) -> None:
        await stubs.cnode_delete(self.sys, self.slots.cnode, index=slot, depth=self.slots.depth)


def has_cap(message: Message) -> bool:
    """Whether a cap landed: one that did not arrive as a badge of the receiver's own."""
    return any(badge is None for badge in message.unwrapped)
