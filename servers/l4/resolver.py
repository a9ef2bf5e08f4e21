"""A resolver: when a child calls through a gate behind which nobody is, it is connected to a server that lives.

    class Program(Resolver):
        clients = (CLIENT,)
        services = {0: (FIRST, SECOND)}

The child notices nothing: its call is made again by the kernel when the fault is answered. A server that dies is a
child of the resolver's as well, so that its end is a fault, which comes here; it is built anew, for the next time.
"""

from collections.abc import Mapping
from typing import Final

from capkernel.abi.bootinfo import UntypedDesc
from capkernel.user import lifecycle
from capkernel.user.allocators import SlotAllocator, UntypedAllocator
from capkernel.user.loop import ENDPOINT_BADGE, PD
from capkernel.user.syscalls import Message
from servers.l4.gates import Gates, gate_of

ENDPOINT, OWN_CNODE, MEMORY = 300, 301, 302
MEMORY_BITS: Final = 14
CLIENT_CNODE, SERVER, LIFECYCLE = 320, 330, 340
"""Slots for child 0: the cap to its own CNode if it is a client; to its endpoint and its life if it is a server. Those
for other children follow.
"""
VSPACES: Final = 5
"""Slot of the root CNode with the cap to child 0's address space."""
FIRST_SLOT, END_SLOT = 350, 500


class Resolver:
    """The hooks. ``clients`` are children with gates; ``services`` says of each gate which children serve there."""

    clients: "tuple[int, ...]" = ()
    services: "Mapping[int, tuple[int, ...]]" = {}

    def __init__(self) -> None:
        self.gates: dict[int, Gates] = {}
        self.bound: dict[tuple[int, int], int] = {}
        """By client and gate: the server that it leads to."""
        self.lost: list[int] = []
        """Servers that died, the last last: those that never did are chosen before them, and the first first."""

    async def init(self, pd: PD) -> None:
        """Adopt the clients. They run when this has ended, since their priority is lower."""
        slots = SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)
        memory = UntypedAllocator(pd.sys, slots, [(MEMORY, UntypedDesc(0, MEMORY_BITS, False))])
        for client in self.clients:
            gates = self.gates[client] = Gates(
                pd, client, memory, node=CLIENT_CNODE + client, vspace=VSPACES + client << 58, endpoint=ENDPOINT
            )
            await gates.adopt()
            for gate in self.services:
                await gates.add(gate)

    async def fault(self, pd: PD, child: int, msg: Message) -> bool:
        """A client is connected and goes on; a server has died."""
        gate = gate_of(msg)
        if child in self.gates:
            if gate is None or gate not in self.services:
                return False
            await self.connect(child, gate)
            return True
        await self.died(pd, child)
        return False

    async def connect(self, client: int, gate: int) -> None:
        """Let a gate lead to the server that is to be trusted most."""
        server = min(self.services[gate], key=lambda each: self.lost.index(each) if each in self.lost else -1)
        await self.gates[client].open(gate, SERVER + server, ENDPOINT_BADGE | client)
        self.bound[client, gate] = server

    async def died(self, pd: PD, server: int) -> None:
        """Shut all gates that lead to a server, so that nobody waits for it, and build it anew."""
        for client, gate in [key for key, bound in self.bound.items() if bound == server]:
            await self.disconnect(client, gate)
            del self.bound[client, gate]
        self.lost = [*(each for each in self.lost if each != server), server]
        await lifecycle.rebuild(pd.sys, LIFECYCLE + server)
        await lifecycle.start(pd.sys, LIFECYCLE + server)

    async def disconnect(self, client: int, gate: int) -> None:
        """What was behind a gate is no more."""
        await self.gates[client].shut(gate)
