"""The initial task's own steps: copying and minting caps, filling frames."""

from capkernel.abi import objects as obj
from capkernel.abi import rights as rt
from capkernel.abi.words import WORD_BITS
from capkernel.user import stubs
from capkernel.user.bootstrap import Environment
from capkernel.user.operations import write
from capkernel.user.vspaces import VSpace

SCRATCH = 0x40_0000_0000 - (1 << 31)
"""Where the initial task maps what it fills: the second-last GiB of its address space."""


class Toolbox:
    """The initial task's environment with what it needs again and again."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.own_vspace = VSpace(env.memory, env.vspace)

    async def copy(self, source: int, rights: int = rt.ALL) -> int:
        """A copy of an own cap, in a new own slot."""
        slot = self.env.slots.alloc()
        await self.copy_into(self.env.cnode, slot, WORD_BITS, source, rights)
        return slot

    async def mint(self, source: int, badge: int, rights: int = rt.ALL) -> int:
        """A minted copy of an own cap, in a new own slot."""
        slot = self.env.slots.alloc()
        await self.mint_into(self.env.cnode, slot, WORD_BITS, source, badge, rights)
        return slot

    async def copy_into(self, cnode: int, index: int, depth: int, source: int, rights: int = rt.ALL) -> None:
        """Copy an own cap into a slot of another CNode."""
        await stubs.cnode_copy(
            self.env.sys, cnode, dest_index=index, dest_depth=depth, src_root=self.env.cnode, src_index=source,
            src_depth=WORD_BITS, rights=rights,
        )  # fmt: skip

    async def mint_into(
        self, cnode: int, index: int, depth: int, source: int, badge: int, rights: int = rt.ALL
    ) -> None:
        """Mint an own cap into a slot of another CNode."""
        await stubs.cnode_mint(
            self.env.sys, cnode, dest_index=index, dest_depth=depth, src_root=self.env.cnode, src_index=source,
            src_depth=WORD_BITS, rights=rights, badge=badge,
        )  # fmt: skip

    async def empty(self, cnode: int, index: int, depth: int) -> None:
        """Empty a slot of another CNode."""
        await stubs.cnode_delete(self.env.sys, cnode, index=index, depth=depth)

    async def delete(self, slot: int) -> None:
        """Empty an own slot and take it back."""
        await stubs.cnode_delete(self.env.sys, self.env.cnode, index=slot, depth=WORD_BITS)
        self.env.slots.free(slot)

    async def fill(self, frame: int, size: int, data: bytes, offset: int = 0) -> None:
        """Write bytes into a frame through a short mapping of a copy of its cap; ``size`` is the frame's."""
        vaddr = SCRATCH if size == 1 << obj.PAGE_BITS else SCRATCH + (1 << obj.GIGA_PAGE_BITS)
        copy = await self.copy(frame)
        await self.own_vspace.map(copy, vaddr)
        await write(vaddr + offset, data)
        await self.delete(copy)
