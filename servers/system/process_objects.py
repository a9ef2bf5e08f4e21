"""What processes are made with: kernel objects from the pages of an account, in slots of the process server's."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from capkernel.abi import errors as err
from capkernel.abi import objects as obj
from capkernel.abi.words import WORD_BITS
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import NoSpace, QuotaExceeded
from capkernel.protocols.interface import Cap
from capkernel.protocols.memory import Account, Use
from capkernel.user import stubs
from capkernel.user.allocators import OutOfSlots, SlotAllocator
from capkernel.user.errors import KernelError
from capkernel.user.inbox import Inbox
from capkernel.user.syscalls import Syscalls
from servers.system.funds import Fund, Pages, Refound

OWN_CNODE: Final = 301
PLACE_CNODE: Final = 304
PLACE: Final = 5 << 58
PLACES: Final = 1 << 10
"""Slots for the objects of processes; they last if the description says so."""
PROBE, FIRST_PLACE = 1, 2
"""The slot of a scheduling context without time, and the first for processes."""
_ROW_BYTES: Final = 32
"""In the table, for each page of a process: its slot, and what is said of a page table."""


class Places(SlotAllocator):
    """The slots for objects of processes, and for caps that the next life is to find.

    What is in a slot goes with its memory, or the slot is written down before anything is put there: so a slot that the
    table does not name is empty.
    """

    def __init__(self, sys: Syscalls) -> None:
        super().__init__(PLACE_CNODE, FIRST_PLACE, PLACES)
        self.sys = sys
        self._next = PLACES
        self._free = dict.fromkeys(reversed(range(FIRST_PLACE, PLACES)))

    def claim(self, slots: Iterable[int]) -> None:
        """Slots are in use: so it was written down. Raises ValueError for one that cannot be, or is so twice."""
        for slot in slots:
            if slot not in self._free:
                raise ValueError(f"slot {slot} cannot be in use, or is so twice")
            del self._free[slot]

    async def clear(self) -> None:
        """Empty all slots: a former life may have left something there that it did not write down."""
        for slot in range(FIRST_PLACE, PLACES):
            await self.empty(slot)

    async def empty(self, slot: int) -> None:
        """Delete the cap in a slot."""
        await stubs.cnode_delete(self.sys, PLACE_CNODE, index=slot, depth=WORD_BITS)

    async def discard(self, cap: int) -> None:
        """Delete a cap, by its address, and take its slot back."""
        await self.empty(cap & PLACES - 1)
        self.free(cap & PLACES - 1)

    async def move(self, inbox: Inbox, cap: int, place: int) -> None:
        """Move a cap that was received to a place, by its address, that was written down before."""
        await stubs.cnode_move(
            self.sys, PLACE_CNODE, dest_index=place & PLACES - 1, dest_depth=WORD_BITS, src_root=inbox.slots.cnode,
            src_index=cap, src_depth=inbox.slots.depth,
        )  # fmt: skip
        inbox.slots.free(cap)


class Workshop:
    """What all processes are made with: slots, a place for caps that come, the pager.

    ``save`` writes down what there is now; ``need_room`` raises QuotaExceeded if so many bytes more could not be.
    """

    def __init__(
        self, sys: Syscalls, inbox: Inbox, pager: Refound, save: Callable[[], Awaitable[None]],
        need_room: Callable[[int], None],
    ) -> None:  # fmt: skip
        self.sys = sys
        self.inbox = inbox
        self.pager = pager
        self.save = save
        self.need_room = need_room
        self.places = Places(sys)

    async def segment_size(self, segment: int) -> int:
        """The size of a client's segment, if it is the pager's. Raises Malformed."""
        return int(await self.pager.ask(lambda pager: pager.size(Cap(segment))))

    async def attach(self, segment: int, vspace: int, space: int, address: int) -> int:
        """Let the pager give a process a segment; returns the cap for its faults."""
        return int(await self.pager.ask(lambda pager: pager.attach(Cap(segment), Cap(vspace), space, address)))

    async def detach(self, space: int) -> None:
        """A process of the pager's is over."""
        await self.pager.ask(lambda pager: pager.detach(space))

    async def without_time(self, untyped: int) -> int:
        """A scheduling context that has no time, of raw memory; it goes with that."""
        await self.places.empty(PROBE)
        await retype(self, untyped, obj.SCHED_CONTEXT, obj.MIN_SCHED_CONTEXT_BITS, PLACE | PROBE)
        return PLACE | PROBE

    async def is_blocked(self, tcb: int, without_time: int) -> bool:
        """Whether a thread that is bound to no context waits for somebody: such a one cannot be bound to one that has
        no time.
        """
        try:
            await stubs.sched_context_bind(self.sys, without_time, cap=tcb)
        except KernelError as error:
            if error.code != err.ILLEGAL_OPERATION:
                raise
            return True
        await stubs.sched_context_unbind(self.sys, without_time)
        return False


async def retype(workshop: Workshop, untyped: int, object_type: int, size_bits: int, cap: int) -> None:
    """Make an object of raw memory, whose cap is given up."""
    await stubs.untyped_retype(
        workshop.sys, untyped, object_type=object_type, size_bits=size_bits, root=PLACE_CNODE, node_index=0,
        node_depth=0, node_offset=cap & PLACES - 1, num_objects=1,
    )  # fmt: skip
    await workshop.inbox.discard(untyped)


class Purse(Fund):
    """A launcher's account, below another. The cap to it lies where it lasts, at ``cap``, so that no life needs another
    one. Nobody is asked before it is opened, or used.
    """

    def __init__(self, workshop: Workshop, above: Fund, number: int, next_number: int = 1, cap: int = 0) -> None:
        super().__init__(self._get_again, number, next_number)
        self.workshop = workshop
        self.above = above
        self.cap = cap
        if cap:
            self.hold(self._at(cap))

    async def begin(self, quota: int) -> None:
        """Make the account. Raises QuotaExceeded."""
        self.hold(await self._keep(await self.above.open(self, quota)))

    async def close(self) -> None:
        """Give everything back, and the slot of the cap."""
        await super().close()
        if self.cap:
            cap, self.cap = self.cap, 0
            await self.workshop.places.discard(cap)

    async def _get_again(self) -> Account:
        return await self._keep(await self.above.ask(lambda account: account.account(self.number)))

    async def _keep(self, stub: Any) -> Account:
        places, inbox = self.workshop.places, self.workshop.inbox
        if self.cap:
            await places.empty(self.cap & PLACES - 1)
        else:
            try:
                self.cap = PLACE | places.alloc()
            except OutOfSlots:
                await stub.forget()
                raise QuotaExceeded("this server can keep no more caps") from None
            await self.workshop.save()
        await places.move(inbox, stub.cap, self.cap)
        return self._at(self.cap)

    def _at(self, cap: int) -> Account:
        return connect(Account, Connection(self.workshop.sys, self.workshop.inbox), cap)


class Objects:
    """What one process is made of: kernel objects from pages of an account, with caps in this server's slots.

    Pages are written down before they are taken, so that they are given back whatever happens.
    """

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
        if not pages:
            return
        self.workshop.need_room(_ROW_BYTES * pages)
        chunk = self.fund.memory(self.fund.new_number(), pages)
        self.chunks.append(chunk)
        await self.workshop.save()
        try:
            await self.fund.fill(chunk, Use.OBJECTS)
        except Exception:
            self.chunks.remove(chunk)
            raise

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
        await retype(self.workshop, untyped, object_type, size_bits, PLACE | slot)
        return PLACE | slot

    async def free(self, cap: int) -> None:
        """Destroy an object; its page is given back with all others."""
        await self.slots.empty(cap & PLACES - 1)

    async def destroy(self) -> None:
        """Give all pages back: whatever was made of them is gone, and so are the caps in our slots."""
        while self.chunks:
            await self.fund.release(self.chunks[-1])
            self.chunks.pop()
        for slot in reversed(self.taken):
            self.slots.free(slot)
        self.taken.clear()


async def if_there(invocation: Awaitable[object]) -> None:
    """Do something to an object that may be gone already."""
    with suppress(KernelError):
        await invocation
