"""The initial task: build the system of a plan, start it, and stay as its monitor."""

from collections.abc import Callable
from typing import Any

from capkernel.abi import objects as obj
from capkernel.user import stubs
from capkernel.user.bootstrap import Environment, Start, root_environment
from capkernel.user.faults import Fault, decode_fault
from capkernel.user.initialiser import domains as dom
from capkernel.user.initialiser import wiring
from capkernel.user.initialiser.domains import Domain
from capkernel.user.initialiser.memory import Regions
from capkernel.user.initialiser.placements import READY_BADGE, placements
from capkernel.user.initialiser.plan import Plan
from capkernel.user.initialiser.schedule import set_schedule
from capkernel.user.initialiser.toolbox import Toolbox

OnReady = Callable[[dict[str, int]], None]
"""Told when all domains have been started: the caps of their TCBs in the initial task's CSpace, by name."""


def initial_task(plan: Plan, on_ready: OnReady | None = None) -> Any:
    """The initial task's program, for a CPU's table of programs."""

    def start_initial_task(start: Start) -> Any:
        return _run(plan, start, on_ready)

    return start_initial_task


async def _run(plan: Plan, start: Start, on_ready: OnReady | None) -> None:
    env = await root_environment(start)
    tools = Toolbox(env)
    monitor, reply = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.REPLY)
    domains = await build(tools, plan, monitor)
    for domain in domains.values():
        await dom.start_domain(tools, plan, domain)
    await set_schedule(env.sys, plan)
    if on_ready is not None:
        on_ready({name: domain.living().tcb for name, domain in domains.items()})
    await _monitor(env, plan, list(domains.values()), monitor, reply)


async def build(tools: Toolbox, plan: Plan, monitor: int) -> dict[str, Domain]:
    """Make everything that the plan describes; no domain runs yet. Raises KernelError, OutOfMemory, OutOfSlots."""
    regions = Regions(tools, plan)
    await regions.create()
    domains: dict[str, Domain] = {}
    for index, spec in enumerate(plan.system.protection_domains):
        domain = domains[spec.name] = await dom.create_domain(tools, plan, index, spec)
        domain.fault_ep = await wiring.fault_endpoint(tools, domains, domain, monitor)
        await dom.create_life(tools, plan, domain)
    await wiring.place(tools, wiring.Caps(domains, regions, monitor), placements(plan))
    for domain in domains.values():
        await dom.build_address_space(tools, plan, regions, domain)
        await dom.configure_domain(tools, plan, domain)
    for space in plan.system.io_address_spaces:
        cap = await wiring.io_space(tools, space)
        await wiring.map_for_device(tools, plan, regions, space, cap, tools.env.memory, [])
    return domains


async def _monitor(env: Environment, plan: Plan, domains: list[Domain], monitor: int, reply: int) -> None:
    """Wait for faults of domains without a parent, which stay stopped, and for passive domains to get ready.

    The badge tells the two apart: a domain cannot make its own message look like a fault.
    """
    starting = {domain.index for domain in domains if domain.spec.passive}
    while True:
        message = await env.sys.recv(monitor, reply)
        domain = domains[(message.badge & ~READY_BADGE) - 1]
        if not message.badge & READY_BADGE:
            await _report(env, plan, domain, _described(plan, domain, decode_fault(message.label, message.words)))
        elif domain.index in starting:
            starting.remove(domain.index)
            await _make_passive(env, domain)


async def _make_passive(env: Environment, domain: Domain) -> None:
    """Take a domain's time and give it to its notification, so that signals still reach it."""
    life = domain.living()
    await stubs.sched_context_unbind_object(env.sys, life.sched_context, cap=life.tcb)
    await stubs.sched_context_bind(env.sys, life.sched_context, cap=domain.notification)


def _described(plan: Plan, domain: Domain, fault: Fault) -> str:
    """A fault in words, with the place in the program if that is known."""
    place = plan.programs[domain.spec.name].name_of(fault.words["ip"]) if "ip" in fault.words else ""
    return f"{fault} in {place}" if place else str(fault)


async def _report(env: Environment, plan: Plan, domain: Domain, fault: str) -> None:
    if plan.debug:
        await env.sys.print(f"monitor: {domain.spec.name} stopped: {fault}\n")
    if plan.on_fault is not None:
        plan.on_fault(domain.spec.name, fault)
