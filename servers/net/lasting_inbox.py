"""An inbox that keeps the caps it takes in slots that outlive the program."""

from capkernel.protocols.failures import NoSpace
from capkernel.user.allocators import OutOfSlots, SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.syscalls import Message, Syscalls
from servers.system.lasting_slots import LastingSlots


class LastingInbox(Inbox):
    """Own ``slots`` are for what is there only for a while: caps that land, and those that are made to be sent."""

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
