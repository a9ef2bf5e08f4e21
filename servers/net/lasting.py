"""What outlives a program that holds caps and callers for others: received caps, and the reply objects of who waits.

Both lie in slots that last (``kind="slots"`` with ``lasts="yes"``). The reply objects are made of memory that lasts,
too: so the initial task, which ends a program's life, knows nothing of them, and who waits in one goes on waiting.
Whoever begins after a crash must tell them: ``abandon``.
"""

from typing import Final

from capkernel.abi import objects as obj
from capkernel.protocols.failures import NoSpace
from capkernel.user import stubs
from capkernel.user.allocators import OutOfSlots, SlotAllocator
from capkernel.user.errors import KernelError
from capkernel.user.inbox import Inbox
from capkernel.user.lifecycle import SERVER_DIED
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message, Syscalls
from servers.system.lasting_slots import LastingSlots

_DEAD: Final = Message(SERVER_DIED)


class LastingInbox(Inbox):
    """An inbox that keeps what it takes in slots that last."""

    def __init__(self, sys: Syscalls, slots: SlotAllocator, lasting: LastingSlots) -> None:
        super().__init__(sys, slots)
        self.lasting = lasting

    async def take(self, message: Message) -> int | None:
        """The address of the cap that came with a message. Raises OutOfSlots, and then the cap is deleted."""
        cap = await super().take(message)
        if cap is None:
            return None
        try:
            return self.lasting.address(await self.lasting.take(self, cap))
        except NoSpace as full:
            await super().discard(cap)
            raise OutOfSlots(str(full)) from None

    async def discard(self, slot: int) -> None:
        """Delete a cap that was taken, or put into a slot of our own."""
        place = self.lasting.slot_of(slot)
        if place is None:
            await super().discard(slot)
        else:
            await self.lasting.empty(place)


class LastingReplies:
    """Reply objects in the ``slots`` of a CNode that lasts: ``cnode`` is the cap to it, ``base`` the address of slot 0.

    They are made once, of the memory behind ``untyped``; no later life has a cap to that any more.
    """

    def __init__(self, pd: PD, cnode: int, base: int, slots: range, untyped: int) -> None:
        self.pd = pd
        self.cnode = cnode
        self.untyped = untyped
        self.slots = slots
        self.addresses = [base | slot for slot in slots]

    async def open(self) -> None:
        """Have them, whichever life made them. To be awaited before anybody calls."""
        try:
            await stubs.untyped_retype(
                self.pd.sys, self.untyped, object_type=obj.REPLY, size_bits=0, root=self.cnode, node_index=0,
                node_depth=0, node_offset=self.slots.start, num_objects=len(self.slots),
            )  # fmt: skip
        except KernelError:
            if self.pd.life == 1:
                raise

    def use(self, held: list[int]) -> None:
        """Hold callers in them from now on; in some, callers wait already. Raises ValueError if these cannot be."""
        if not set(held) <= set(self.addresses) or len(set(held)) < len(held) or len(held) == len(self.addresses):
            raise ValueError("a caller waits where none can")
        first, *others = (address for address in self.addresses if address not in held)
        self.pd.reply_cap, self.pd.spare_replies = first, others

    async def abandon(self) -> None:
        """Whoever waited in a former life is told that it died. One who does not wait hears nothing."""
        for address in self.addresses:
            await self.pd.sys.send(address, _DEAD)
