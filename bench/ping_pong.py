"""Two threads in two address spaces on the coroutine CPU: a client that calls, a server that replies and receives."""

from collections.abc import Generator

from capkernel.abi import objects as obj
from capkernel.abi import syscalls as sc
from capkernel.runtime.loop import Costs
from capkernel.runtime.python_system import PythonSystem
from capkernel.user import stubs
from capkernel.user.bootstrap import Environment, Start, root_environment
from capkernel.user.threads import Thread, ThreadSpec, start_thread
from capkernel.user.vspaces import VSpace

WORD = (1 << 64) - 1
CALL, REPLY_RECV, RECV = sc.CALL & WORD, sc.REPLY_RECV & WORD, sc.RECV & WORD
INFO = 4
"""Label 0, four message registers, no caps."""


def client(start: Start) -> Generator[tuple[int, ...], tuple[int, ...], None]:
    """Call for ever."""
    endpoint, _ = start.arguments[:2]
    while True:
        yield (CALL, endpoint, INFO, 1, 2, 3, 4, 0, 0)


def server(start: Start) -> Generator[tuple[int, ...], tuple[int, ...], None]:
    """Receive once, then reply and receive for ever."""
    endpoint, reply = start.arguments[:2]
    yield (RECV, endpoint, 0, 0, 0, 0, 0, reply, 0)
    while True:
        yield (REPLY_RECV, endpoint, INFO, 4, 3, 2, 1, reply, 0)


async def root(start: Start) -> None:
    """Build both and wait for ever.

    The server gets to its first receive, then loses its time: from now on it runs on the client's.
    """
    env = await root_environment(start)
    endpoint, reply = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.REPLY)
    await stubs.tcb_set_priority(env.sys, env.tcb, priority=99, authority=env.tcb)
    waiting = await start_apart(env, start.values[2], 101, endpoint, reply)
    await stubs.sched_context_unbind_object(env.sys, waiting.sched_context, cap=waiting.tcb)
    await start_apart(env, start.values[1], 100, endpoint, reply)
    await env.sys.wait(await env.memory.alloc(obj.NOTIFICATION))


async def start_apart(env: Environment, entry: int, priority: int, *arguments: int, buffer: int = 0) -> Thread:
    """A thread in an address space of its own, with nothing in it but its program and its IPC buffer (0: none)."""
    vspace = await VSpace.create(env.memory, env.asid_pool)
    frame = env.info.user_image_frames[0] + (entry - env.start.values[0]) // 4096
    await vspace.map_copy(frame, entry, 3, 0)
    spec = ThreadSpec(entry=entry, arguments=arguments, priority=priority, vspace=vspace, buffer=buffer)
    return await start_thread(env, spec)


def system(costs: Costs | None = None) -> PythonSystem:
    """A booted system in which the two exchange messages from the next ``run`` on."""
    built = PythonSystem([root, client, server], costs=costs or Costs(syscall=10, work_unit=1))
    built.run(max_entries=2000)
    return built


def floor(rounds: int) -> float:
    """Seconds for as many exchanges between two generators that build and unpack the same tuples, without kernel."""
    from time import perf_counter

    def caller() -> Generator[tuple[int, ...], tuple[int, ...], None]:
        while True:
            a0, a1, a2, a3, a4, a5 = yield (CALL, 1, INFO, 1, 2, 3, 4, 0, 0)

    def callee() -> Generator[tuple[int, ...], tuple[int, ...], None]:
        while True:
            a0, a1, a2, a3, a4, a5 = yield (REPLY_RECV, 1, INFO, 4, 3, 2, 1, 2, 0)

    one, other = caller(), callee()
    next(one)
    next(other)
    start = perf_counter()
    for _ in range(rounds):
        a7, a0, a1, a2, a3, a4, a5, a6, t0 = one.send((0, 4, 1, 2, 3, 4))
        a7, a0, a1, a2, a3, a4, a5, a6, t0 = other.send((a0, a1, a2, a3, a4, a5))
    return perf_counter() - start
