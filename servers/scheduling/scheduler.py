"""The scheduler: carries out a policy, by the caps to its members' threads and scheduling contexts.

It holds ``sched_control``, and of each member the TCB (it is their parent) and the scheduling context. A member that
has used up its lease takes a timeout fault, which comes here; then all are charged (``SchedContext_Consumed``), the
policy orders them, priorities follow the order, the one that faulted gets a new lease (``SchedControl_Configure``), and
the reply lets it go on. Nothing of this is in the kernel, nor can a member avoid it: it has no cap to its own time.

A lease that has not been used up stays what it is: it only says when the policy is asked again.
"""

import tomllib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, Final

from capkernel.abi.faults import TIMEOUT
from capkernel.user import stubs
from capkernel.user.loop import BASE_TCB_CAP, PD
from capkernel.user.syscalls import Message
from servers.scheduling.policy import MIN_LEASE_US, Policy

ROOT_SHIFT: Final = 58
"""Slot n of the root CNode has the address n << 58."""
OWN_TCB, FIRST_CONTEXT, FIRST_TIMEOUT = 5, 10, 340
"""Slots: in the root CNode the own TCB and the members' scheduling contexts; endpoint caps with their fault badges."""
SCHED_CONTROL: Final = 330
TOP: Final = 200
"""Priority of who is first in the order."""
GAP_US: Final = 500
"""How much longer than a lease the period of its context is. A lease of which too little is left to be used ends
without a fault, when its thread is interrupted just then; it comes back by itself after this.
"""
TICKS_PER_US: Final = 10
CONSUMED: Final = 1
"""Word of a timeout fault's message: microseconds."""


class Scheduler:
    """The members, and what was done with them last."""

    def __init__(self, pd: PD, members: list[int], policy: Policy) -> None:
        self.pd = pd
        self.members = members
        self.policy = policy
        self._priorities: dict[int, int] = {}
        self._before: dict[int, int] = {}

    async def take_over(self) -> None:
        """From now on members run when the policy says so."""
        for member in self.members:
            await stubs.tcb_set_timeout_endpoint(
                self.pd.sys, BASE_TCB_CAP + member, timeout_fault_ep=FIRST_TIMEOUT + member
            )
            await self._lend(member, MIN_LEASE_US)
        await self.look()

    async def look(self, fresh: Collection[int] = (), consumed_us: Mapping[int, int] | None = None) -> None:
        """Charge and order all; those that are ``fresh`` get a new lease. They must not be ready to run just now.

        What a member has used that took a timeout fault is in the message of that fault (``consumed_us``); the kernel
        does not count it a second time.
        """
        now = await self.now()
        used = {member: await self.consumed(member) for member in self.members}
        self._before.clear()
        for member, amount in (consumed_us or {}).items():
            used[member] += amount
        self.policy.ran(used, now)
        for rank, turn in enumerate(self.policy.order(now)):
            await self._prioritise(turn.member, TOP - rank)
            if turn.member in fresh:
                await self._lend(turn.member, turn.lease_us)
        for channel in self.policy.news():
            await self.pd.notify(channel)

    async def consumed(self, member: int) -> int:
        """What a member has run since it was looked at, in microseconds; it is charged for that the next time, too."""
        ran = await stubs.sched_context_consumed(self.pd.sys, FIRST_CONTEXT + member << ROOT_SHIFT)
        self._before[member] = self._before.get(member, 0) + ran
        return self._before[member]

    async def now(self) -> int:
        """Microseconds since the machine was started."""
        return await self.pd.clock() // TICKS_PER_US

    async def _prioritise(self, member: int, priority: int) -> None:
        if self._priorities.get(member) != priority:
            tcb = BASE_TCB_CAP + member
            await stubs.tcb_set_priority(self.pd.sys, tcb, priority=priority, authority=OWN_TCB << ROOT_SHIFT)
            self._priorities[member] = priority

    async def _lend(self, member: int, lease_us: int) -> None:
        await stubs.sched_control_configure_flags(
            self.pd.sys, SCHED_CONTROL, budget=lease_us, period=lease_us + GAP_US, extra_refills=0, badge=member,
            flags=0, sched_context=FIRST_CONTEXT + member << ROOT_SHIFT,
        )  # fmt: skip


class SchedulerProgram(ABC):
    """The hooks of a scheduler; a subclass says which policy, from a table of TOML."""

    table: int = 0
    table_size: int = 0x1000

    def __init__(self) -> None:
        self.scheduler: Any = None

    @abstractmethod
    def policy(self, table: Mapping[str, Any]) -> tuple[list[int], Policy]:
        """The members' numbers, as children, and the policy. Raises ValueError, which ends the program."""

    async def init(self, pd: PD) -> None:
        """Take over the members."""
        text = (await pd.read(self.table, self.table_size)).rstrip(b"\0").decode()
        members, policy = self.policy(tomllib.loads(text))
        self.scheduler = Scheduler(pd, members, policy)
        await self.scheduler.take_over()

    async def fault(self, pd: PD, child: int, msg: Message) -> Message | bool:
        """A lease was used up: the member goes on when it is its turn. Any other fault ends the member."""
        if msg.label != TIMEOUT:
            return False
        await self.scheduler.look((child,), {child: msg[CONSUMED]})
        return True
