"""The VSpace of a task, as the mapper fills it: frames, and the page tables that they need, a limited number."""

from typing import Final

from capkernel.abi import rights as rt
from capkernel.abi.flags import EXECUTE_NEVER
from capkernel.protocols.failures import NotPermitted, QuotaExceeded
from capkernel.protocols.l4 import Rights
from capkernel.user.allocators import OutOfMemory, OutOfSlots, SlotAllocator, UntypedAllocator
from capkernel.user.errors import KernelError
from capkernel.user.syscalls import Syscalls
from capkernel.user.vspaces import VSpace

TABLE_LIMIT: Final = 8
"""Page tables that are made for a task."""


def kernel_rights(rights: int) -> int:
    """The rights of a frame cap; the kernel's know nothing of execution."""
    return (rt.READ if rights & Rights.READ else 0) | (rt.WRITE if rights & Rights.WRITE else 0)


class TaskVSpace:
    """A task's address space, and the page tables that were made for it, at most ``TABLE_LIMIT``."""

    def __init__(self, memory: UntypedAllocator, root: int) -> None:
        self.memory = memory
        self.root = root
        self.vspace = VSpace(self, root)

    # What VSpace wants of memory

    @property
    def sys(self) -> Syscalls:
        """The system calls."""
        return self.memory.sys

    @property
    def slots(self) -> SlotAllocator:
        """Where caps to page tables are put."""
        return self.memory.slots

    async def alloc(self, object_type: int, size_bits: int = 0) -> int:
        """A page table. Raises QuotaExceeded."""
        if len(self.vspace.tables) >= TABLE_LIMIT:
            raise QuotaExceeded(f"{TABLE_LIMIT} page tables were made for this space")
        try:
            return await self.memory.alloc(object_type, size_bits)
        except (OutOfMemory, OutOfSlots) as error:
            raise QuotaExceeded(f"there is no memory for page tables: {error}") from None

    async def free(self, cap: int) -> None:
        """Give a page table back."""
        await self.memory.free(cap)

    # What the mapper wants

    async def map(self, cap: int, address: int, rights: int) -> None:
        """Map a frame. Raises QuotaExceeded, NotPermitted if there can be none."""
        attr = 0 if rights & Rights.EXECUTE else EXECUTE_NEVER
        try:
            await self.vspace.map(cap, address, kernel_rights(rights), attr)
        except KernelError as error:
            raise NotPermitted(f"the kernel maps nothing at {address:#x}: {error}") from None

    async def free_tables(self) -> None:
        """Give all page tables back."""
        while self.vspace.tables:
            await self.memory.free(self.vspace.tables.pop())
