"""Memory for kernel objects, by the untyped: what one factory may use, and nobody else.

The quota is the size of an untyped, so the kernel itself keeps it. A block is an untyped made of it, by halves; what is
given back is joined again (``user.allocators`` does the same, but where slots' numbers are cap addresses).
"""

from attrs import frozen

from capkernel.abi import objects as obj
from capkernel.abi.words import WORD_BITS
from capkernel.protocols.failures import NoSpace, QuotaExceeded
from capkernel.user import stubs
from capkernel.user.allocators import OutOfSlots, SlotAllocator
from capkernel.user.errors import KernelError
from capkernel.user.syscalls import Syscalls

MIN_BITS = 8
"""log2 of the smallest block: it bounds how many slots of the server's the objects of a quota take."""


class Places:
    """Slots of the server's for caps to blocks and objects; ``root`` is the slot of its root CNode where they stand."""

    def __init__(self, sys: Syscalls, cnode: int, root: int, bits: int) -> None:
        self.sys = sys
        self.cnode = cnode
        self._base = root << WORD_BITS - 6
        self._slots = SlotAllocator(cnode, 1, 1 << bits)

    async def make(self, untyped: int, object_type: int, size_bits: int) -> int:
        """Make an object of an untyped; returns the address of its cap. Raises KernelError, NoSpace."""
        try:
            slot = self._slots.alloc()
        except OutOfSlots:
            raise NoSpace("this server has no slot left") from None
        try:
            await stubs.untyped_retype(
                self.sys, untyped, object_type=object_type, size_bits=size_bits, root=self.cnode, node_index=0,
                node_depth=0, node_offset=slot, num_objects=1,
            )  # fmt: skip
        except KernelError:
            self._slots.free(slot)
            raise
        return self._base | slot

    async def delete(self, cap: int) -> None:
        """Delete a cap that was made here."""
        await stubs.cnode_delete(self.sys, self.cnode, index=cap - self._base, depth=WORD_BITS)
        self.forget(cap)

    async def revoke(self, cap: int) -> None:
        """Destroy all that was made of an untyped that was made here."""
        await stubs.cnode_revoke(self.sys, self.cnode, index=cap - self._base, depth=WORD_BITS)

    def forget(self, cap: int) -> None:
        """The slot of a cap is empty, because that was destroyed of which it was made."""
        self._slots.free(cap - self._base)


@frozen(eq=False)
class Block:
    """2**``bits`` bytes, by the cap to their untyped; ``whole`` is the block of which this is one half."""

    cap: int
    bits: int
    whole: "Block | None" = None


class KernelMemory:
    """The memory of one untyped: 2**``bits`` bytes at cap ``untyped``. ``used`` are those in blocks that were taken."""

    def __init__(self, places: Places, untyped: int, bits: int) -> None:
        self.places = places
        self.bits = bits
        self.used = 0
        self._free = [Block(untyped, bits)]
        self._halves: dict[Block, tuple[Block, Block]] = {}

    async def take(self, bits: int) -> Block:
        """A block, smaller than the whole, of the smallest piece that is enough. Raises QuotaExceeded, NoSpace."""
        bits = max(bits, MIN_BITS)
        large = [block for block in self._free if block.bits >= bits]
        if not large or bits >= self.bits:
            raise QuotaExceeded(f"{self.used} of 2**{self.bits} bytes are used; 2**{bits} more are not left in a piece")
        block = min(large, key=lambda block: block.bits)
        while block.bits > bits:
            block = await self._split(block)
        self._free.remove(block)
        self.used += 1 << bits
        return block

    async def _split(self, block: Block) -> Block:
        """Two free halves in the place of a free block; returns one. Raises NoSpace, and then nothing has changed."""
        low = Block(await self.places.make(block.cap, obj.UNTYPED, block.bits - 1), block.bits - 1, block)
        try:
            high = Block(await self.places.make(block.cap, obj.UNTYPED, block.bits - 1), block.bits - 1, block)
        except NoSpace:
            await self.places.delete(low.cap)
            raise
        self._halves[block] = low, high
        self._free.remove(block)
        self._free += [high, low]
        return low

    async def give_back(self, block: Block) -> None:
        """Destroy what was made of a block, and have it back, in one piece with what is free beside it."""
        await self.places.revoke(block.cap)
        self.used -= 1 << block.bits
        self._free.append(block)
        while block.whole is not None and all(half in self._free for half in self._halves[block.whole]):
            block = block.whole
            for half in self._halves.pop(block):
                await self.places.delete(half.cap)
                self._free.remove(half)
            self._free.append(block)

    def forget(self) -> None:
        """The untyped was revoked, and with it all that was made of it: only the slots are to be had back."""
        for halves in self._halves.values():
            for half in halves:
                self.places.forget(half.cap)
        self._halves.clear()
        self._free.clear()
