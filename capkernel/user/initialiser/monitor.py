"""The initial task once the system runs: it hears of faults that nobody else handles, and answers lifecycle calls.

The badge tells what a message is, and a domain cannot make its own messages look like something else.
"""

from capkernel.user.bootstrap import Environment
from capkernel.user.faults import Fault, decode_fault
from capkernel.user.initialiser import lifecycle, passive
from capkernel.user.initialiser.building import Building
from capkernel.user.initialiser.domains import Domain
from capkernel.user.initialiser.placements import LIFECYCLE_BADGE, MONITOR_BADGE, ready_badges
from capkernel.user.initialiser.plan import Plan
from capkernel.user.lifecycle import State
from capkernel.user.syscalls import Message


async def monitor(built: Building, endpoint: int, reply: int) -> None:
    """Serve for ever. A domain that faults stays stopped; a passive one that is ready gives up its time."""
    env, plan, domains = built.tools.env, built.plan, list(built.domains.values())
    ready = ready_badges(plan)
    answer: Message | None = None
    while True:
        if answer is None:
            message = await env.sys.recv(endpoint, reply)
        else:
            message = await env.sys.reply_recv(endpoint, reply, answer)
        answer = None
        badge = message.badge
        if not badge & (MONITOR_BADGE | LIFECYCLE_BADGE):
            for domain in domains:
                if domain.is_starting and badge & ready[domain.name]:
                    await passive.give_up_time(built, domain)
            continue
        domain = domains[(badge & ~(MONITOR_BADGE | LIFECYCLE_BADGE)) - 1]
        if badge & LIFECYCLE_BADGE:
            answer = await lifecycle.answer(built, domain, message)
        else:
            domain.state = State.FAULTED
            await _report(env, plan, domain, _described(plan, domain, decode_fault(message.label, message.words)))


def _described(plan: Plan, domain: Domain, fault: Fault) -> str:
    """A fault in words, with the place in the program if that is known."""
    program = plan.programs_of(domain.name)[domain.program]
    place = program.name_of(fault.words["ip"]) if "ip" in fault.words else ""
    return f"{fault} in {place}" if place else str(fault)


async def _report(env: Environment, plan: Plan, domain: Domain, fault: str) -> None:
    if plan.debug:
        await env.sys.print(f"monitor: {domain.name} stopped: {fault}\n")
    if plan.on_fault is not None:
        plan.on_fault(domain.name, fault)
