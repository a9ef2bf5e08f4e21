"""Mapping frames, and making the page tables that are missing."""

from capkernel.abi import errors as err
from capkernel.abi import objects as obj
from capkernel.abi import rights as rt
from capkernel.abi.flags import EXECUTE_NEVER
from capkernel.user import stubs
from capkernel.user.allocators import Memory
from capkernel.user.errors import KernelError

"""Bit of ``attr``: no instructions are fetched from the page."""


class VSpace:
    """An address space, by the cap to its root page table. ``tables`` lists the page tables made for it."""

    def __init__(self, memory: Memory, root: int) -> None:
        self.memory = memory
        self.sys = memory.sys
        self.root = root
        self.tables: list[int] = []

    @classmethod
    async def create(cls, memory: Memory, asid_pool: int) -> "VSpace":
        """A new, empty address space with an ASID of the pool."""
        root = await memory.alloc(obj.PAGE_TABLE)
        await stubs.asid_pool_assign(memory.sys, asid_pool, vspace=root)
        return cls(memory, root)

    async def map(self, frame: int, vaddr: int, rights: int = rt.READ_WRITE, attr: int = EXECUTE_NEVER) -> None:
        """Map a frame, making page tables as needed. Raises KernelError, for instance if the place is in use."""
        while True:
            try:
                await stubs.page_map(self.sys, frame, vaddr=vaddr, rights=rights, attr=attr, vspace=self.root)
                return
            except KernelError as error:
                if error.code != err.FAILED_LOOKUP or not error.bits_left:
                    raise
            await self._add_table(vaddr)

    async def _add_table(self, vaddr: int) -> None:
        """Make the uppermost page table that ``vaddr`` lacks; the kernel finds out which that is."""
        table = await self.memory.alloc(obj.PAGE_TABLE)
        try:
            await stubs.page_table_map(self.sys, table, vaddr=vaddr, attr=0, vspace=self.root)
        except KernelError:
            await self.memory.free(table)
            raise
        self.tables.append(table)

    async def map_new(self, vaddr: int, size: int, rights: int = rt.READ_WRITE, attr: int = EXECUTE_NEVER) -> list[int]:
        """Map fresh pages of 4 KiB at [vaddr, vaddr + size); returns their caps. If it fails no page is kept."""
        frames: list[int] = []
        try:
            for address in range(vaddr, vaddr + size, obj.PAGE_BYTES):
                frames.append(await self.memory.alloc(obj.PAGE))
                await self.map(frames[-1], address, rights, attr)
        except Exception:
            for frame in frames:
                await self.memory.free(frame)
            raise
        return frames

    async def map_copy(self, frame: int, vaddr: int, rights: int = rt.READ_WRITE, attr: int = EXECUTE_NEVER) -> int:
        """Map a frame that is mapped elsewhere as well; returns the new cap. If it fails no slot is kept."""
        slots = self.memory.slots
        copy = slots.alloc()
        try:
            await stubs.cnode_copy(
                self.sys, slots.cnode, dest_index=copy, dest_depth=slots.depth, src_root=slots.cnode, src_index=frame,
                src_depth=slots.depth, rights=rt.ALL,
            )  # fmt: skip
            await self.map(copy, vaddr, rights, attr)
        except Exception:
            await stubs.cnode_delete(self.sys, slots.cnode, index=copy, depth=slots.depth)
            slots.free(copy)
            raise
        return copy
