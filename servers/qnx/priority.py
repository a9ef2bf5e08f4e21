"""The priority of a server: that of the client whom it serves (message-driven priority inheritance).

In QNX the kernel raises a server when somebody of higher priority sends to it. Here priority belongs to the thread, and
is not donated; what stands for inheritance is this. A server *waits* at its ceiling, the priority that the description
gives it (which is also its maximum controlled priority, so it can go no higher): that costs nobody anything, and it
receives at once whoever sends. Then it sets its own priority to that of the request, with its own TCB cap, and works.
Before it waits again it goes back to the ceiling.

A request that comes meanwhile is not seen by the server itself: see ``booster``.
"""

from typing import Final

from capkernel.user import stubs
from capkernel.user.syscalls import Syscalls

ROOT_SHIFT: Final = 58
"""Slot n of a domain's root CNode, where a description puts a TCB cap, has the address n << 58."""


class OwnPriority:
    """A thread's own priority. ``tcb`` is the address of a cap to itself, ``ceiling`` at most its MCP."""

    def __init__(self, sys: Syscalls, tcb: int, ceiling: int) -> None:
        self.sys = sys
        self.tcb = tcb
        self.ceiling = ceiling

    async def follow(self, priority: int) -> None:
        """Work at the priority of whoever is served, but not above the ceiling."""
        await self._set(min(priority, self.ceiling))

    async def wait(self) -> None:
        """Go back to the ceiling, in order to receive."""
        await self._set(self.ceiling)

    async def _set(self, priority: int) -> None:
        await stubs.tcb_set_priority(self.sys, self.tcb, priority=priority, authority=self.tcb)
