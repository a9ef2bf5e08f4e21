"""Passive domains: they start with time of their own, and give it up when they first wait.

From then on a domain works on the time of who calls it, which it gets if it receives when it has none itself; for a
signal it gets that of its notification, if the signal finds it waiting. So nothing must find it before: callers that
queued at its endpoint while it was down are sent back to call again, which they do when it waits, because their
priorities are lower; and its notification is bound to it only then, with the signals that came meanwhile.

It tells by a signal that it is about to wait, which is kept until the monitor looks.
"""

from contextlib import suppress

from capkernel.abi.registers import A0, USER_CONTEXT
from capkernel.abi.words import WORD_BITS
from capkernel.user import stubs
from capkernel.user.errors import KernelError
from capkernel.user.initialiser import wiring
from capkernel.user.initialiser.building import Building
from capkernel.user.initialiser.domains import Domain
from capkernel.user.initialiser.placements import Source, Thing
from capkernel.user.loop import INPUT_CAP
from capkernel.user.syscalls import Syscalls


async def prepare(built: Building, domain: Domain) -> None:
    """A passive domain is about to start."""
    domain.is_starting = True
    if domain.incarnation > 1:
        await _send_callers_back(built, domain)


async def _send_callers_back(built: Building, domain: Domain) -> None:
    tools, plan = built.tools, built.plan
    held = [found for found in built.table if found.source == Source(Thing.ENDPOINT, domain.name)]
    badges = {found.badge for found in held if found.badge}
    badges |= {wiring.fault_badge(plan, spec, domain.name) for spec in plan.system.protection_domains}
    for badge in sorted(badges - {0}):
        cap = await tools.mint(domain.endpoint, badge)
        await stubs.cnode_cancel_badged_sends(tools.env.sys, tools.env.cnode, index=cap, depth=WORD_BITS)
        await tools.delete(cap)


async def give_up_time(built: Building, domain: Domain) -> None:
    """The domain waits: take its time and give it to its notification, then let signals come.

    A domain that has received a call already, from somebody in another scheduling domain or by a badge that is not
    the plan's, would never go on without its time: it stays active.
    """
    tools, life = built.tools, domain.living()
    sys = tools.env.sys
    domain.is_starting = False
    if await _waits(sys, life.tcb):
        await stubs.sched_context_unbind_object(sys, life.sched_context, cap=life.tcb)
        await stubs.sched_context_bind(sys, life.sched_context, cap=domain.notification)
        if not await _waits(sys, life.tcb):
            await _give_back(sys, domain)
    signals = (await sys.nbwait(domain.notification)).badge
    await stubs.tcb_bind_notification(sys, life.tcb, notification=domain.notification)
    if signals:
        cap = await tools.mint(domain.notification, signals)
        await sys.signal(cap)
        await tools.delete(cap)


async def _give_back(sys: Syscalls, domain: Domain) -> None:
    """A call came between the look and the taking: the domain needs its time, unless its caller's came along."""
    life = domain.living()
    await stubs.sched_context_unbind_object(sys, life.sched_context, cap=domain.notification)
    for owner in (life.tcb, domain.notification):
        with suppress(KernelError):
            await stubs.sched_context_bind(sys, life.sched_context, cap=owner)
            return


async def _waits(sys: Syscalls, tcb: int) -> bool:
    """Whether a thread that is about to wait has not received anything: then a0 is still what it waits at."""
    registers = await stubs.tcb_read_registers(sys, tcb, flags=0, count=len(USER_CONTEXT))
    return registers[USER_CONTEXT.index(A0)] == INPUT_CAP
