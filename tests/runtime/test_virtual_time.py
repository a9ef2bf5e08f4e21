"""Time on the coroutine CPU: budgets, timeouts, fairness, and what the kernel's own work costs."""

from itertools import pairwise
from typing import Any

from capkernel.abi import objects as obj
from capkernel.runtime.loop import Costs
from capkernel.runtime.python_system import PythonSystem
from capkernel.user import faults, stubs
from capkernel.user import operations as ops
from capkernel.user.bootstrap import Environment, Start, root_environment
from capkernel.user.syscalls import Message, Syscalls
from capkernel.user.threads import ThreadSpec, configure_time, start_thread

BUFFER = 0x2000_0000
MS = 10_000
"""Ticks in a millisecond."""


def spec_of(env: Environment, index: int, **options: Any) -> ThreadSpec:
    return ThreadSpec(entry=env.start.values[index], buffer=BUFFER + 0x1000 * index, **options)


def run_until(programs: list[Any], ticks: int, **options: Any) -> PythonSystem:
    system = PythonSystem(programs, **options)
    system.run(until=ticks, max_entries=100_000)
    assert not system.crashes, system.crashes[0].report
    return system


def test_two_equal_threads_share_the_processor_by_their_slices() -> None:
    done = [0, 0]

    async def root(start: Start) -> None:
        env = await root_environment(start)
        for index in (1, 2):
            await start_thread(env, spec_of(env, index, arguments=(index - 1,), budget=1000, period=1000))
        await stubs.tcb_suspend(env.sys, env.tcb)

    async def worker(start: Start) -> None:
        while True:
            await ops.compute(100)
            done[start.arguments[0]] += 100

    run_until([root, worker, worker], 200 * MS)
    assert sum(done) > 190 * MS
    assert abs(done[0] - done[1]) <= 2 * MS


def test_a_budget_bounds_a_thread_whoever_else_is_idle() -> None:
    done = [0]

    async def root(start: Start) -> None:
        env = await root_environment(start)
        await start_thread(env, spec_of(env, 1, budget=1_000, period=10_000))
        await stubs.tcb_suspend(env.sys, env.tcb)

    async def greedy(start: Start) -> None:
        while True:
            await ops.compute(10)
            done[0] += 10

    run_until([root, greedy], 1_000 * MS)
    assert 90 * MS <= done[0] <= 101 * MS


def test_a_used_up_budget_raises_a_timeout_fault_at_the_timeout_endpoint() -> None:
    told: list[faults.Fault] = []

    async def root(start: Start) -> None:
        env = await root_environment(start)
        endpoint, reply = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.REPLY)
        thread = await start_thread(env, spec_of(env, 1, timeout_ep=endpoint, budget=1_000, period=100_000))
        await configure_time(env, thread.sched_context, 1_000, 100_000, badge=77)
        message = await env.sys.recv(endpoint, reply)
        told.append(faults.decode_fault(message.label, message.words))
        await ops.tell_host(1)

    async def greedy(start: Start) -> None:
        await ops.compute(1_000 * MS)

    run_until([root, greedy], 2_000 * MS)
    assert (told[0].name, told[0]["data"]) == ("Timeout", 77)
    assert 900 <= told[0]["consumed"] <= 1_000


def test_a_passive_server_runs_on_its_clients_budget() -> None:
    times = []

    async def root(start: Start) -> None:
        env = await root_environment(start)
        endpoint, reply = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.REPLY)
        server = await start_thread(env, spec_of(env, 1, arguments=(endpoint, reply), priority=200))
        await ops.compute(1)
        await env.sys.yield_()
        await stubs.tcb_set_priority(env.sys, env.tcb, priority=10, authority=env.tcb)
        await stubs.sched_context_unbind(env.sys, server.sched_context)
        client = await start_thread(env, spec_of(env, 2, arguments=(endpoint,)))
        times.append(await stubs.sched_context_consumed(env.sys, client.sched_context))
        await ops.tell_host(1)

    async def server(start: Start) -> None:
        sys = Syscalls(start.tp)
        endpoint, reply = start.arguments[:2]
        await sys.recv(endpoint, reply)
        while True:
            await ops.compute(2 * MS)
            await sys.reply_recv(endpoint, reply, Message(1))

    async def client(start: Start) -> None:
        await Syscalls(start.tp).call(start.arguments[0], Message(1))
        await Syscalls().wait(start.arguments[0])

    run_until([root, server, client], 500 * MS)
    assert 2_000 <= times[0] <= 2_100


def test_each_system_call_takes_its_declared_time() -> None:
    times = []

    async def root(start: Start) -> None:
        for _ in range(3):
            times.append(await ops.clock())
            await Syscalls().nbsend(0)

    PythonSystem([root], costs=Costs(syscall=25)).run(max_entries=10)
    assert [b - a for a, b in pairwise(times)] == [25, 25]


def test_long_operations_take_time_by_their_units_and_are_preempted_for_others() -> None:
    """Revoking thousands of caps takes so long that a higher thread wakes up in the middle of it."""
    seen: dict[str, int] = {}

    async def root(start: Start) -> None:
        env = await root_environment(start)
        endpoint = await env.memory.alloc(obj.ENDPOINT)
        await stubs.tcb_set_priority(env.sys, env.tcb, priority=50, authority=env.tcb)
        await start_thread(env, spec_of(env, 1, priority=200, budget=100, period=3_000))
        for _ in range(2_000):
            await stubs.cnode_copy(
                env.sys, env.cnode, dest_index=env.slots.alloc(), dest_depth=64, src_root=env.cnode,
                src_index=endpoint, src_depth=64, rights=15,
            )  # fmt: skip
        seen["before"] = seen.get("woken", 0)
        seen["start"] = await ops.clock()
        await stubs.cnode_revoke(env.sys, env.cnode, index=endpoint, depth=64)
        seen["end"] = await ops.clock()
        seen["after"] = seen["woken"]
        await ops.tell_host(1)

    async def periodic(start: Start) -> None:
        while True:
            seen["woken"] = seen.get("woken", 0) + 1
            await ops.compute(10)
            await Syscalls().yield_()

    run_until([root, periodic], 10_000 * MS, costs=Costs(syscall=1, work_unit=100))
    assert seen["end"] - seen["start"] >= 2_000 * 100
    assert seen["after"] - seen["before"] >= 5
