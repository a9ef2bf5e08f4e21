"""Arenas: memory out of one untyped, to be given back all at once.

An arena makes objects one behind the other and never looks back. To destroy it is to revoke its untyped: the kernel
ends every thread in it, takes out its page tables and empties its CNodes, wherever caps to them are; what was in the
arena's CNodes goes with them. Then the same memory serves again.
"""

from collections.abc import Iterable

from capkernel.abi import errors as err
from capkernel.abi import iospace as io
from capkernel.abi import objects as obj
from capkernel.abi.words import align_up
from capkernel.user import stubs
from capkernel.user.allocators import OutOfMemory, UntypedAllocator
from capkernel.user.errors import KernelError

Thing = tuple[int, int]
"""An object's type and ``size_bits``, as for Retype."""


def room_for(things: Iterable[Thing]) -> int:
    """The bytes that an arena needs for these objects, made in this order; each is aligned to its size."""
    end = 0
    for object_type, size_bits in things:
        bits = size_bits_of(object_type, size_bits)
        end = align_up(end, bits) + (1 << bits)
    return end


def size_bits_of(object_type: int, size_bits: int = 0) -> int:
    """log2 of the bytes of an object, also of an I/O page table."""
    if object_type == io.OBJECT_IO_PAGE_TABLE:
        return io.IO_PAGE_TABLE_BITS
    return obj.object_size_bits(object_type, size_bits)


class Arena:
    """Objects from one untyped of ``memory``'s; ``used`` is how many of its bytes are taken."""

    def __init__(self, memory: UntypedAllocator, untyped: int, size_bits: int) -> None:
        self.sys = memory.sys
        self.slots = memory.slots
        self.untyped = untyped
        self.size_bits = size_bits
        self.used = 0
        self._objects: dict[int, None] = {}
        """The slots of what was made here."""

    @classmethod
    async def create(cls, memory: UntypedAllocator, size_bits: int) -> "Arena":
        """An arena of 2**``size_bits`` bytes. Raises OutOfMemory or OutOfSlots."""
        return cls(memory, await memory.alloc(obj.UNTYPED, size_bits), size_bits)

    async def alloc(self, object_type: int, size_bits: int = 0) -> int:
        """Make an object; returns the slot of its cap. Raises OutOfMemory or OutOfSlots, and has then made nothing."""
        slot = self.slots.alloc()
        try:
            await stubs.untyped_retype(
                self.sys, self.untyped, object_type=object_type, size_bits=size_bits, root=self.slots.cnode,
                node_index=0, node_depth=0, node_offset=slot, num_objects=1,
            )  # fmt: skip
        except KernelError as error:
            self.slots.free(slot)
            if error.code != err.NOT_ENOUGH_MEMORY:
                raise
            raise OutOfMemory(f"an arena of 2**{self.size_bits} bytes, {self.used} of them used, is full") from None
        bits = size_bits_of(object_type, size_bits)
        self.used = align_up(self.used, bits) + (1 << bits)
        self._objects[slot] = None
        return slot

    async def alloc_many(self, object_type: int, count: int, size_bits: int = 0) -> list[int]:
        """Make several objects of a kind."""
        return [await self.alloc(object_type, size_bits) for _ in range(count)]

    async def free(self, cap: int) -> None:
        """Delete the cap to an object that was made here; its memory comes back when the arena is destroyed."""
        if cap not in self._objects:
            raise ValueError(f"the cap in {cap} was not made in this arena, or is free already")
        await stubs.cnode_delete(self.sys, self.slots.cnode, index=cap, depth=self.slots.depth)
        del self._objects[cap]
        self.slots.free(cap)

    async def destroy(self) -> None:
        """Destroy everything that was made here; the arena is empty then, and serves again.

        If the kernel refuses, everything stays on the books, and this can be tried again.
        """
        await stubs.cnode_revoke(self.sys, self.slots.cnode, index=self.untyped, depth=self.slots.depth)
        # In the order in which they were given out, so that the next time each gets the slot that it had.
        while self._objects:
            self.slots.free(self._objects.popitem()[0])
        self.used = 0
