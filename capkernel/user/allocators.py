"""Who has which slot and which piece of memory: bookkeeping that the kernel leaves to user space (as libsel4vka).

Memory is split and joined by halves. A piece that is in use is an untyped of exactly the object's size with the
object in it; to free it is to revoke that untyped, whereupon nobody has a cap to the object any more.
"""

from collections.abc import Iterable
from typing import Protocol

from capkernel.abi import objects as obj
from capkernel.abi.bootinfo import UntypedDesc
from capkernel.abi.words import WORD_BITS
from capkernel.user import stubs
from capkernel.user.syscalls import Syscalls


class OutOfSlots(Exception):
    """Every slot of the range is taken."""


class OutOfMemory(Exception):
    """No free untyped is large enough, or none is at the address."""


class SlotAllocator:
    """The slots ``first`` to ``end`` (exclusive) of a CNode, whose numbers are also cap addresses."""

    def __init__(self, cnode: int, first: int, end: int, depth: int = WORD_BITS) -> None:
        self.cnode = cnode
        self.depth = depth
        self.first = first
        self.end = end
        self._next = first
        self._free: dict[int, None] = {}
        """Slots that came back, in the order in which they did."""

    def alloc(self) -> int:
        """An empty slot. Raises OutOfSlots."""
        if self._free:
            return self._free.popitem()[0]
        if self._next >= self.end:
            raise OutOfSlots(f"the slots up to {self.end} of CNode {self.cnode} are all taken")
        self._next += 1
        return self._next - 1

    def free(self, slot: int) -> None:
        """Take a slot back; its holder has emptied it."""
        if slot in self._free or not self.first <= slot < self._next:
            raise ValueError(f"slot {slot} was not given out by this allocator, or is free already")
        self._free[slot] = None


class Memory(Protocol):
    """Where objects come from: an ``UntypedAllocator``, or an arena (``arenas``)."""

    @property
    def sys(self) -> Syscalls:
        """The system calls by which they are made."""
        ...

    @property
    def slots(self) -> SlotAllocator:
        """Where their caps are put."""
        ...

    async def alloc(self, object_type: int, size_bits: int = 0) -> int:
        """Make an object; returns the slot of its cap. Raises OutOfMemory or OutOfSlots."""
        ...

    async def free(self, cap: int) -> None:
        """Destroy an object that was made here."""
        ...


class Block:
    """A piece of memory: an untyped, free, split into ``halves``, or in use."""

    __slots__ = ("desc", "halves", "in_use", "parent", "slot")

    def __init__(self, slot: int, desc: UntypedDesc, parent: "Block | None" = None) -> None:
        self.slot = slot
        self.desc = desc
        self.parent = parent
        self.halves: tuple[Block, Block] | None = None
        self.in_use = False

    def covers(self, paddr: int) -> bool:
        """Whether an address lies in this piece."""
        return self.desc.paddr <= paddr < self.desc.paddr + (1 << self.desc.size_bits)


class UntypedAllocator:
    """Objects from a list of untypeds, given as (slot, description)."""

    def __init__(self, sys: Syscalls, slots: SlotAllocator, untypeds: Iterable[tuple[int, UntypedDesc]]) -> None:
        self.sys = sys
        self.slots = slots
        self.roots = [Block(slot, desc) for slot, desc in untypeds]
        self._free: dict[int, list[Block]] = {}
        self._by_object: dict[int, Block] = {}
        for block in self.roots:
            if not block.desc.is_device:
                self._free.setdefault(block.desc.size_bits, []).append(block)

    def free_bytes(self) -> int:
        """How much RAM is left, in bytes."""
        return sum(len(blocks) << bits for bits, blocks in self._free.items())

    async def alloc(self, object_type: int, size_bits: int = 0) -> int:
        """Make an object (``abi.objects``) of RAM; returns the slot of its cap. ``size_bits`` as for Retype.

        Raises OutOfMemory or OutOfSlots.
        """
        bits = obj.object_size_bits(object_type, size_bits)
        return await self._retype(await self._take(bits), object_type, size_bits)

    async def alloc_many(self, object_type: int, count: int, size_bits: int = 0) -> list[int]:
        """Make several objects of a kind."""
        return [await self.alloc(object_type, size_bits) for _ in range(count)]

    async def alloc_at(self, paddr: int, object_type: int, size_bits: int = 0) -> int:
        """Make an object at a physical address, of RAM or device memory; returns the slot of its cap.

        Raises OutOfMemory if that place is taken or is nobody's to give, ValueError if it is not aligned.
        """
        bits = obj.object_size_bits(object_type, size_bits)
        if paddr & (1 << bits) - 1:
            raise ValueError(f"{obj.TYPE_NAMES[object_type]} of 2**{bits} bytes cannot lie at {paddr:#x}: not aligned")
        block = next((root for root in self.roots if root.covers(paddr)), None)
        while block is not None and block.halves:
            block = block.halves[0] if block.halves[0].covers(paddr) else block.halves[1]
        if block is None or block.in_use or block.desc.size_bits < bits:
            raise OutOfMemory(f"2**{bits} bytes at {paddr:#x} are in use, or in none of the untypeds")
        return await self._retype(await self._narrow(block, bits, paddr), object_type, size_bits)

    def place_of(self, cap: int) -> int:
        """The physical address of an object that was made here. Raises KeyError."""
        return self._by_object[cap].desc.paddr

    def size_of(self, cap: int) -> int:
        """The bytes that an object that was made here takes. Raises KeyError."""
        return 1 << self._by_object[cap].desc.size_bits

    async def free(self, cap: int) -> None:
        """Destroy an object that was made here, wherever caps to it are, and take its memory back."""
        block = self._by_object.get(cap)
        if block is None:
            raise ValueError(f"the cap in {cap} was not made by this allocator, or is free already")
        await stubs.cnode_revoke(self.sys, self.slots.cnode, index=block.slot, depth=self.slots.depth)
        del self._by_object[cap]
        self.slots.free(cap)
        block.in_use = False
        await self._join(block)

    async def _retype(self, block: Block, object_type: int, size_bits: int) -> int:
        try:
            slot = await self._made(block.slot, object_type, size_bits)
        except Exception:
            await self._join(block)
            raise
        block.in_use = True
        self._by_object[slot] = block
        return slot

    async def _made(self, untyped: int, object_type: int, size_bits: int) -> int:
        """The slot of a new object; if there is none no slot is taken."""
        slot = self.slots.alloc()
        try:
            await stubs.untyped_retype(
                self.sys, untyped, object_type=object_type, size_bits=size_bits, root=self.slots.cnode,
                node_index=0, node_depth=0, node_offset=slot, num_objects=1,
            )  # fmt: skip
        except Exception:
            self.slots.free(slot)
            raise
        return slot

    async def _take(self, bits: int) -> Block:
        """A free piece of exactly 2**bits bytes, split off the smallest that is large enough."""
        sizes = [size for size, blocks in self._free.items() if size >= bits and blocks]
        if not sizes:
            raise OutOfMemory(
                f"no free untyped has 2**{bits} bytes; {self.free_bytes()} bytes are left in smaller ones"
            )
        block = self._free[min(sizes)][-1]
        return await self._narrow(block, bits, block.desc.paddr)

    async def _narrow(self, block: Block, bits: int, paddr: int) -> Block:
        """The piece of 2**bits bytes at an address in a free piece, not listed any more. If it fails all is joined."""
        try:
            while block.desc.size_bits > bits:
                low, high = await self._split(block)
                block = low if low.covers(paddr) else high
        except Exception:
            self._unlist(block)
            await self._join(block)
            raise
        self._unlist(block)
        return block

    async def _split(self, block: Block) -> tuple[Block, Block]:
        """Make two untypeds of half the size, listed as free in its place. If it fails nothing has changed."""
        bits = block.desc.size_bits - 1
        halves: list[Block] = []
        try:
            for index in range(2):
                slot = await self._made(block.slot, obj.UNTYPED, bits)
                desc = UntypedDesc(block.desc.paddr + (index << bits), bits, block.desc.is_device)
                halves.append(Block(slot, desc, block))
        except Exception:
            await stubs.cnode_revoke(self.sys, self.slots.cnode, index=block.slot, depth=self.slots.depth)
            for half in halves:
                self.slots.free(half.slot)
            raise
        self._unlist(block)
        block.halves = halves[0], halves[1]
        self._list(halves[0])
        self._list(halves[1])
        return block.halves

    async def _join(self, block: Block) -> None:
        """Give a free piece back, joined with its other half as far up as both are free."""
        parent = block.parent
        while parent is not None and parent.halves is not None:
            low, high = parent.halves
            other = high if block is low else low
            if other.in_use or other.halves:
                break
            self._unlist(other)
            for half in parent.halves:
                await stubs.cnode_delete(self.sys, self.slots.cnode, index=half.slot, depth=self.slots.depth)
                self.slots.free(half.slot)
            parent.halves = None
            block, parent = parent, parent.parent
        self._list(block)

    def _list(self, block: Block) -> None:
        if not block.desc.is_device:
            self._free.setdefault(block.desc.size_bits, []).append(block)

    def _unlist(self, block: Block) -> None:
        blocks = self._free.get(block.desc.size_bits, [])
        if block in blocks:
            blocks.remove(block)
