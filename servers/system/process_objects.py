"""What processes are made with: kernel objects from the pages of an account, in slots of the process server's."""

from typing import Final

from capkernel.abi.words import WORD_BITS
from capkernel.protocols.failures import NoSpace
from capkernel.protocols.interface import Cap
from capkernel.protocols.memory import Use
from capkernel.user import stubs
from capkernel.user.allocators import OutOfSlots, SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.syscalls import Syscalls
from servers.system.funds import Fund, Pages, Refound

OWN_CNODE: Final = 301
PLACE_CNODE: Final = 304
PLACE: Final = 5 << 58
PLACES: Final = 1 << 10
"""Slots for the objects of processes."""


class Workshop:
    """What all processes are made with: slots, a place for caps that come, the pager."""

    def __init__(self, sys: Syscalls, inbox: Inbox, pager: Refound) -> None:
        self.sys = sys
        self.inbox = inbox
        self.pager = pager
        self.places = SlotAllocator(PLACE_CNODE, 1, PLACES)

    async def segment_size(self, segment: int) -> int:
        """The size of a client's segment, if it is the pager's. Raises Malformed."""
        return int(await self.pager.ask(lambda pager: pager.size(Cap(segment))))

    async def attach(self, segment: int, vspace: int, space: int, address: int) -> int:
        """Let the pager give a process a segment; returns the cap for its faults."""
        return int(await self.pager.ask(lambda pager: pager.attach(Cap(segment), Cap(vspace), space, address)))

    async def detach(self, space: int) -> None:
        """A process of the pager's is over."""
        await self.pager.ask(lambda pager: pager.detach(space))


class Objects:
    """What one process is made of: kernel objects from pages of an account, with caps in this server's slots."""

    def __init__(self, workshop: Workshop, fund: Fund) -> None:
        self.workshop = workshop
        self.sys = workshop.sys
        self.slots = workshop.places
        self.fund = fund
        self.chunks: list[Pages] = []
        self.taken: list[int] = []

    @property
    def pages(self) -> int:
        """How many pages it takes."""
        return sum(chunk.count for chunk in self.chunks)

    async def reserve(self, pages: int) -> None:
        """Take pages from the account, all or none. Raises QuotaExceeded."""
        if pages:
            self.chunks.append(await self.fund.allocate(pages, Use.OBJECTS))

    async def alloc(self, object_type: int, size_bits: int = 0) -> int:
        """Make an object in a page of its own; returns the address of its cap. Raises QuotaExceeded, NoSpace."""
        chunk = next((chunk for chunk in self.chunks if chunk.used < chunk.count), None)
        if chunk is None:
            await self.reserve(1)
            chunk = self.chunks[-1]
        try:
            slot = self.slots.alloc()
        except OutOfSlots:
            raise NoSpace("this server has no slot left for an object") from None
        self.taken.append(slot)
        untyped = await chunk.untyped(chunk.used)
        chunk.used += 1
        await stubs.untyped_retype(
            self.sys, untyped, object_type=object_type, size_bits=size_bits, root=PLACE_CNODE, node_index=0,
            node_depth=0, node_offset=slot, num_objects=1,
        )  # fmt: skip
        await self.workshop.inbox.discard(untyped)
        return PLACE | slot

    async def free(self, cap: int) -> None:
        """Destroy an object; its page is given back with all others."""
        await stubs.cnode_delete(self.sys, PLACE_CNODE, index=cap & PLACES - 1, depth=WORD_BITS)

    async def destroy(self) -> None:
        """Give all pages back: whatever was made of them is gone, and so are the caps in our slots."""
        while self.chunks:
            await self.chunks.pop().drop()
        for slot in reversed(self.taken):
            self.slots.free(slot)
        self.taken.clear()
