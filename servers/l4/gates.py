"""Gates: caps to servers that trap when they are shut, so that somebody can see to it that there is a server again.

On seL4 a call through an *empty slot* is no fault: the kernel answers it with InvalidCapability. A call through an
address that *leads to no slot* is one: a cap fault with GuardMismatch, DepthMismatch or InvalidRoot. So a gate is a
CNode of two slots behind a slot of the client's root CNode. Open, its guard is that of the address; shut, it is
another, and whoever calls stands before his fault handler, with his call still to be made. (A *receive* from what is no
endpoint is a cap fault in any case.)

For this the client has a root CNode that is made here. Its first slot leads to the client's own CNode, as it does in
Microkit, so that all its other addresses stay what they are.
"""

from typing import Final

from capkernel.abi import faults as flt
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.abi.syscalls import CALL
from capkernel.abi.words import WORD_BITS, WORD_MASK
from capkernel.protocols.service import CLIENT_RIGHTS
from capkernel.user import stubs
from capkernel.user.allocators import Memory
from capkernel.user.loop import BASE_TCB_CAP, FAULT_BADGE, PD, PD_CNODE_BITS, ROOT_CNODE_BITS
from capkernel.user.syscalls import Message

FIRST_GATE: Final = 8
"""Slot of the root CNode for gate 0; the others' follow."""
GATES: Final = (1 << ROOT_CNODE_BITS) - FIRST_GATE
_NODE_BITS: Final = 1
_GUARD_BITS: Final = WORD_BITS - ROOT_CNODE_BITS - _NODE_BITS
_OPEN, _SHUT = 0, 1
"""Guards: of an address whose low bits are 0, and of none that a client is told."""


def gate_address(number: int) -> int:
    """Where a client calls through its gate of that number. Raises ValueError."""
    if not 0 <= number < GATES:
        raise ValueError(f"a client has gates 0 to {GATES - 1}, not {number}")
    return FIRST_GATE + number << WORD_BITS - ROOT_CNODE_BITS


def gate_of(msg: Message) -> int | None:
    """Through which gate a call was that faulted; None if it is another fault."""
    if msg.label != flt.CAP_FAULT or msg.words[2]:
        return None
    number = (msg.words[1] >> WORD_BITS - ROOT_CNODE_BITS) - FIRST_GATE
    return number if 0 <= number < GATES and msg.words[1] == gate_address(number) else None


class Gates:
    """The gates of one child of a domain, shut at first.

    ``memory``: for CNodes. ``node``: a cap to the child's own CNode. ``vspace``: to its address space. ``endpoint``: to
    the domain's own, unbadged.
    """

    def __init__(self, pd: PD, child: int, memory: Memory, *, node: int, vspace: int, endpoint: int) -> None:
        self.pd = pd
        self.sys = pd.sys
        self.child = child
        self.memory = memory
        self.node = node
        self.vspace = vspace
        self.endpoint = endpoint
        self._root = 0
        self._nodes: dict[int, int] = {}

    async def adopt(self) -> None:
        """Give the child a root CNode of ours. Its faults come here, as they did."""
        self._root = await self.memory.alloc(obj.CNODE, ROOT_CNODE_BITS)
        await self._link(0, self.node, WORD_BITS - ROOT_CNODE_BITS - PD_CNODE_BITS, 0)
        slots, faults = self.memory.slots, self.memory.slots.alloc()
        await stubs.cnode_mint(
            self.sys, slots.cnode, dest_index=faults, dest_depth=slots.depth, src_root=slots.cnode,
            src_index=self.endpoint, src_depth=slots.depth, rights=rt.WRITE | rt.GRANT_REPLY,
            badge=FAULT_BADGE | self.child,
        )  # fmt: skip
        await stubs.tcb_set_space(
            self.sys, BASE_TCB_CAP + self.child, cspace_root_data=0, vspace_root_data=0, fault_ep=faults,
            cspace_root=self._root, vspace_root=self.vspace,
        )  # fmt: skip
        await stubs.cnode_delete(self.sys, slots.cnode, index=faults, depth=slots.depth)
        slots.free(faults)

    async def add(self, number: int) -> None:
        """A further gate, shut."""
        self._nodes[number] = await self.memory.alloc(obj.CNODE, _NODE_BITS)
        await self._link(FIRST_GATE + number, self._nodes[number], _GUARD_BITS, _SHUT)

    async def open(self, number: int, server: int, badge: int) -> None:
        """Let a gate lead to a server, by the cap to its endpoint without a badge; there the child has this badge."""
        node, slots = self._nodes[number], self.memory.slots
        await stubs.cnode_delete(self.sys, node, index=0, depth=_NODE_BITS)
        await stubs.cnode_mint(
            self.sys, node, dest_index=0, dest_depth=_NODE_BITS, src_root=slots.cnode, src_index=server,
            src_depth=slots.depth, rights=CLIENT_RIGHTS, badge=badge,
        )  # fmt: skip
        await self._relink(number, _OPEN)

    async def shut(self, number: int) -> None:
        """Let calls through a gate be faults. A call that is on its way is made again, and is one, too."""
        is_waiting = await self._is_calling(number)
        if is_waiting:
            await self.pd.pd_stop(self.child)
        await self._relink(number, _SHUT)
        await stubs.cnode_delete(self.sys, self._nodes[number], index=0, depth=_NODE_BITS)
        if is_waiting:
            await self.pd.pd_resume(self.child)

    async def leave_empty(self, number: int) -> None:
        """Open a gate behind which nothing is: calls are answered with InvalidCapability."""
        await self._relink(number, _OPEN)

    async def _is_calling(self, number: int) -> bool:
        """Whether the child is in a call through a gate. To make another system call anew could do it twice."""
        context = dict(zip(reg.USER_CONTEXT, await self.pd.pd_registers(self.child), strict=True))
        return context[reg.A0] == gate_address(number) and context[reg.A7] == CALL & WORD_MASK

    async def _relink(self, number: int, guard: int) -> None:
        await stubs.cnode_delete(self.sys, self._root, index=FIRST_GATE + number, depth=ROOT_CNODE_BITS)
        await self._link(FIRST_GATE + number, self._nodes[number], _GUARD_BITS, guard)

    async def _link(self, slot: int, node: int, guard_bits: int, guard: int) -> None:
        """Put a cap to a CNode into a slot of the child's root CNode."""
        slots = self.memory.slots
        await stubs.cnode_mint(
            self.sys, self._root, dest_index=slot, dest_depth=ROOT_CNODE_BITS, src_root=slots.cnode, src_index=node,
            src_depth=slots.depth, rights=rt.ALL, badge=guard << 6 | guard_bits,
        )  # fmt: skip
