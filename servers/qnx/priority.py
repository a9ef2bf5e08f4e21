"""The priority of a server: that of the client whom it serves (message-driven priority inheritance).

In QNX the kernel raises a server when somebody of higher priority sends to it. Here priority belongs to the thread, and
is not donated; what stands for inheritance is this. A server *waits* at its ceiling, the priority that the description
gives it (which is also its maximum controlled priority, so it can go no higher): that costs nobody anything, and it
receives at once whoever sends. Then it sets its own priority to that of the request, with its own TCB cap, and works.
Before it waits again it goes back to the ceiling.

A server that works does not see who sends to it meanwhile. A client of higher priority therefore signals a ``booster``
first, which holds the server's TCB cap and raises it. Both share a page, so that no raise is lost, whoever is
interrupted where: a word for each of the server's channels, 1 from the signal until that client's message is received;
and one with the priority that the server has, or is about to take.
"""

import struct
from collections.abc import Mapping
from typing import Final

from capkernel.user import stubs
from capkernel.user.loop import MAX_CHANNELS
from capkernel.user.operations import read, store
from capkernel.user.syscalls import Syscalls

ROOT_SHIFT: Final = 58
"""Slot n of a domain's root CNode, where a description puts a TCB cap, has the address n << 58."""
_PRESENT: Final = 8 * MAX_CHANNELS


class OwnPriority:
    """A thread's own priority. ``tcb`` is the address of a cap to itself, ``ceiling`` at most its MCP.

    ``boosts``: the address of the page that it shares with a booster, 0 without one; ``priorities`` of its clients, by
    channel.
    """

    def __init__(
        self, sys: Syscalls, tcb: int, ceiling: int, *, boosts: int = 0, priorities: Mapping[int, int] | None = None
    ) -> None:
        self.sys = sys
        self.tcb = tcb
        self.ceiling = ceiling
        self.boosts = boosts
        self.priorities = dict(priorities or {})

    async def follow(self, priority: int, channel: int | None = None) -> None:
        """Work at the priority of whoever is served, through a channel, and of whoever waits; not above the ceiling."""
        if self.boosts and channel is not None:
            await store(self.boosts + 8 * channel, 0)
        target = -1
        while target != (wanted := min(max(priority, await self._boosted()), self.ceiling)):
            target = wanted
            await self._set(target)

    async def wait(self) -> None:
        """Go back to the ceiling, in order to receive."""
        await self._set(self.ceiling)

    async def _boosted(self) -> int:
        """The highest priority of those who have signalled and were not received yet; -1 if there are none."""
        if not self.boosts:
            return -1
        flags = struct.unpack(f"<{MAX_CHANNELS}Q", await read(self.boosts, _PRESENT))
        return max((self.priorities.get(channel, -1) for channel, flag in enumerate(flags) if flag), default=-1)

    async def _set(self, priority: int) -> None:
        if self.boosts:
            await store(self.boosts + _PRESENT, priority)
        await stubs.tcb_set_priority(self.sys, self.tcb, priority=priority, authority=self.tcb)


async def boost(sys: Syscalls, boosts: int, channel: int, priority: int, tcb: int, authority: int) -> None:
    """For a booster, of higher priority than the server: raise it, unless it is there already.

    ``channel`` is the client's at the server, ``tcb`` the server's, ``authority`` a TCB cap whose MCP suffices.
    """
    await store(boosts + 8 * channel, 1)
    (present,) = struct.unpack("<Q", await read(boosts + _PRESENT, 8))
    if present < priority:
        await stubs.tcb_set_priority(sys, tcb, priority=priority, authority=authority)
