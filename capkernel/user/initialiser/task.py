"""The initial task: build the system of a plan, start it, and stay as its monitor."""

from collections.abc import Callable
from typing import Any

from capkernel.abi import objects as obj
from capkernel.user import stubs
from capkernel.user.bootstrap import Start, root_environment
from capkernel.user.initialiser import lifecycle
from capkernel.user.initialiser.building import Building, build
from capkernel.user.initialiser.monitor import monitor
from capkernel.user.initialiser.plan import Plan
from capkernel.user.initialiser.schedule import set_schedule
from capkernel.user.initialiser.toolbox import Toolbox

OnReady = Callable[[Building], None]
"""Told when all domains have been started, and what was built."""


def initial_task(plan: Plan, on_ready: OnReady | None = None) -> Any:
    """The initial task's program, for a CPU's table of programs."""

    def start_initial_task(start: Start) -> Any:
        return _run(plan, start, on_ready)

    return start_initial_task


async def _run(plan: Plan, start: Start, on_ready: OnReady | None) -> None:
    env = await root_environment(start)
    endpoint, reply = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.REPLY)
    ready = await env.memory.alloc(obj.NOTIFICATION)
    await stubs.tcb_bind_notification(env.sys, env.tcb, notification=ready)
    built = await build(Toolbox(env), plan, endpoint, ready)
    for domain in built.domains.values():
        await lifecycle.start(built, domain)
    await set_schedule(env.sys, plan)
    if on_ready is not None:
        on_ready(built)
    await monitor(built, endpoint, reply)
