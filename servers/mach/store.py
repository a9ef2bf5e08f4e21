"""Memory for messages: blocks of one region, each charged to the task that owns the port.

The tasks' quotas add up to no more than the region, so who has room left by its quota finds it. A quota belongs to a
task's number and outlives the task: what is queued at a port that is on its way to somebody else stays charged.
"""

from attrs import define, field

from capkernel.protocols.failures import QuotaExceeded
from capkernel.protocols.mach_ports import MessageMemory
from capkernel.user.operations import read, write

BLOCK = 64
"""Bytes. A message takes one block, and further ones for its data."""


def blocks_for(size: int) -> int:
    """How many blocks a message with so many bytes of data takes: the first is for everything else."""
    return 1 + -(-size // BLOCK)


@define(eq=False)
class Purse:
    """A task's quota, in blocks."""

    quota: int
    used: int = 0

    def has_room(self, blocks: int) -> bool:
        """Whether so many more may be used."""
        return self.used + blocks <= self.quota

    def charge(self, blocks: int) -> None:
        """Use so many. Raises QuotaExceeded."""
        if not self.has_room(blocks):
            raise QuotaExceeded(f"{blocks * BLOCK} bytes more than {self.used * BLOCK} of {self.quota * BLOCK} in use")
        self.used += blocks

    def release(self, blocks: int) -> None:
        """Use so many less."""
        self.used -= blocks

    @property
    def status(self) -> MessageMemory:
        """In bytes."""
        return MessageMemory(self.quota * BLOCK, self.used * BLOCK)


@define
class Store:
    """Which blocks of a region at ``vaddr`` are free."""

    vaddr: int
    blocks: int
    free: list[int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """All are, and the first is given first."""
        self.free = list(reversed(range(self.blocks)))

    async def put(self, data: bytes) -> list[int]:
        """Keep the bytes; returns the blocks in which they are. Whoever calls has charged them."""
        taken = [self.free.pop() for _ in range(blocks_for(len(data)) - 1)]
        for index, block in enumerate(taken):
            await write(self.vaddr + block * BLOCK, data[index * BLOCK : (index + 1) * BLOCK])
        return taken

    async def get(self, blocks: list[int], size: int) -> bytes:
        """The bytes in blocks."""
        pieces = [await read(self.vaddr + block * BLOCK, BLOCK) for block in blocks]
        return b"".join(pieces)[:size]

    def give_back(self, blocks: list[int]) -> None:
        """Blocks are free again."""
        self.free.extend(reversed(blocks))
