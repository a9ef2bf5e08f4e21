"""The initial task once the system runs: it hears of faults that nobody else handles, and answers lifecycle calls.

The badge tells what a message is, and a domain cannot make its own messages look like something else.
"""

from capkernel.abi.registers import A0, USER_CONTEXT
from capkernel.user import stubs
from capkernel.user.bootstrap import Environment
from capkernel.user.faults import Fault, decode_fault
from capkernel.user.initialiser import lifecycle
from capkernel.user.initialiser.building import Building
from capkernel.user.initialiser.domains import Domain
from capkernel.user.initialiser.placements import LIFECYCLE_BADGE, READY_BADGE
from capkernel.user.initialiser.plan import Plan
from capkernel.user.lifecycle import State
from capkernel.user.loop import INPUT_CAP
from capkernel.user.syscalls import Message


async def monitor(built: Building, endpoint: int, reply: int) -> None:
    """Serve for ever. A domain that faults stays stopped; a passive one that is ready gives up its time."""
    env, plan, domains = built.tools.env, built.plan, list(built.domains.values())
    answer: Message | None = None
    while True:
        if answer is None:
            message = await env.sys.recv(endpoint, reply)
        else:
            message = await env.sys.reply_recv(endpoint, reply, answer)
        answer = None
        domain = domains[(message.badge & ~(READY_BADGE | LIFECYCLE_BADGE)) - 1]
        if message.badge & LIFECYCLE_BADGE:
            answer = await lifecycle.answer(built, domain, message)
        elif not message.badge & READY_BADGE:
            domain.state = State.FAULTED
            await _report(env, plan, domain, _described(plan, domain, decode_fault(message.label, message.words)))
        elif domain.is_starting:
            domain.is_starting = False
            await _make_passive(env, domain)


async def _make_passive(env: Environment, domain: Domain) -> None:
    """Take a domain's time and give it to its notification, so that signals still reach it.

    One that has received something by now would never go on without its time: it stays active.
    """
    life = domain.living()
    registers = await stubs.tcb_read_registers(env.sys, life.tcb, flags=0, count=len(USER_CONTEXT))
    if registers[USER_CONTEXT.index(A0)] != INPUT_CAP:
        return
    await stubs.sched_context_unbind_object(env.sys, life.sched_context, cap=life.tcb)
    await stubs.sched_context_bind(env.sys, life.sched_context, cap=domain.notification)


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
