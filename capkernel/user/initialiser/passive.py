"""Passive domains: they start with time of their own, and give it up when they first wait.

From then on a domain works on the time of who calls it, which it gets if it receives when it has none itself; for
signals it gets that of its notification, if the signal finds it waiting. So whatever came while it was down must not
be there when it first waits: callers are sent back to call again, which they do when it waits, because their
priorities are lower; signals are kept, and given to it then.
"""

from capkernel.abi.registers import A0, USER_CONTEXT
from capkernel.abi.words import WORD_BITS
from capkernel.user import stubs
from capkernel.user.initialiser import wiring
from capkernel.user.initialiser.building import Building
from capkernel.user.initialiser.domains import Domain
from capkernel.user.initialiser.placements import Source, Thing
from capkernel.user.loop import INPUT_CAP


async def prepare(built: Building, domain: Domain) -> None:
    """Take away what waits for a passive domain that is about to start."""
    domain.is_starting = True
    if domain.incarnation > 1:
        await _send_callers_back(built, domain)
        await _keep_signals(built, domain)


async def _send_callers_back(built: Building, domain: Domain) -> None:
    tools, plan = built.tools, built.plan
    held = [found for found in built.table if found.source == Source(Thing.ENDPOINT, domain.name)]
    badges = {found.badge for found in held if found.badge}
    badges |= {wiring.fault_badge(plan, spec, domain.name) for spec in plan.system.protection_domains}
    for badge in sorted(badges - {0}):
        cap = await tools.mint(domain.endpoint, badge)
        await stubs.cnode_cancel_badged_sends(tools.env.sys, tools.env.cnode, index=cap, depth=WORD_BITS)
        await tools.delete(cap)


async def _keep_signals(built: Building, domain: Domain) -> None:
    sys, tcb = built.tools.env.sys, domain.living().tcb
    await stubs.tcb_unbind_notification(sys, tcb)
    domain.kept_signals |= (await sys.nbwait(domain.notification)).badge
    await stubs.tcb_bind_notification(sys, tcb, notification=domain.notification)


async def give_up_time(built: Building, domain: Domain) -> None:
    """The domain waits: take its time and give it to its notification, then let kept signals come.

    A domain that has received something already (through a badge that is not the plan's, or a signal just now) would
    never go on without its time: it stays active.
    """
    tools, life = built.tools, domain.living()
    sys = tools.env.sys
    domain.is_starting = False
    registers = await stubs.tcb_read_registers(sys, life.tcb, flags=0, count=len(USER_CONTEXT))
    if registers[USER_CONTEXT.index(A0)] == INPUT_CAP:
        await stubs.sched_context_unbind_object(sys, life.sched_context, cap=life.tcb)
        await stubs.sched_context_bind(sys, life.sched_context, cap=domain.notification)
    if domain.kept_signals:
        cap = await tools.mint(domain.notification, domain.kept_signals)
        await sys.signal(cap)
        await tools.delete(cap)
        domain.kept_signals = 0
