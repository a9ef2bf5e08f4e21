"""What a cap in a message adds to a round trip, and what it costs to switch to another thread."""

from collections.abc import Generator
from dataclasses import replace

from bench.ping_pong import CALL, INFO, RECV, REPLY_RECV, WORD, floor, start_apart
from bench.timing import Figure, least
from capkernel.abi import message as msg
from capkernel.abi import objects as obj
from capkernel.abi import syscalls as sc
from capkernel.abi.bootinfo import CAP_INIT_CNODE
from capkernel.runtime.loop import Costs
from capkernel.runtime.platform import PRESETS
from capkernel.runtime.python_system import PythonSystem
from capkernel.user import stubs
from capkernel.user.bootstrap import Environment, Start, root_environment
from capkernel.user.operations import STORE

Program = Generator[tuple[int, ...], object, None]
ROUNDS = 2000
BUFFER = 0x2000_0000
FIRST_SLOT = 1 << 14
"""Where received caps go, one after the other; the root CNode is large enough for all."""
YIELD = sc.YIELD & WORD


def giver(start: Start) -> Program:
    """Call for ever, with as many caps as the second argument says (0 or 1); the third is the cap to give."""
    endpoint, caps, given = start.arguments[:3]
    yield (STORE, BUFFER + msg.BUFFER_CAPS, 8, given)
    while True:
        yield (CALL, endpoint, INFO | caps << 7, 1, 2, 3, 4, 0, 0)


def taker(start: Start) -> Program:
    """Answer for ever; each cap that comes goes into the next slot."""
    endpoint, reply = start.arguments[:2]
    yield (STORE, BUFFER + msg.BUFFER_RECEIVE_CNODE, 8, CAP_INIT_CNODE)
    yield (STORE, BUFFER + msg.BUFFER_RECEIVE_DEPTH, 8, 64)
    slot = FIRST_SLOT
    yield (STORE, BUFFER + msg.BUFFER_RECEIVE_INDEX, 8, slot)
    yield (RECV, endpoint, 0, 0, 0, 0, 0, reply, 0)
    while True:
        slot += 1
        yield (STORE, BUFFER + msg.BUFFER_RECEIVE_INDEX, 8, slot)
        yield (REPLY_RECV, endpoint, INFO, 4, 3, 2, 1, reply, 0)


def yielder(start: Start) -> Program:
    """Yield for ever."""
    while True:
        yield (YIELD, 0, 0, 0, 0, 0, 0, 0, 0)


def exchange(caps: int) -> PythonSystem:
    """A system in which two threads exchange messages on the slow path, which one with caps takes."""

    async def root(start: Start) -> None:
        env = await root_environment(start)
        endpoint, reply = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.REPLY)
        given = await env.memory.alloc(obj.NOTIFICATION)
        await _step_down(env)
        waiting = await start_apart(env, start.values[2], 101, endpoint, reply, buffer=BUFFER)
        await stubs.sched_context_unbind_object(env.sys, waiting.sched_context, cap=waiting.tcb)
        await start_apart(env, start.values[1], 100, endpoint, caps, given, buffer=BUFFER)
        await env.sys.wait(await env.memory.alloc(obj.NOTIFICATION))

    config = replace(PRESETS["demo"], root_cnode_bits=17, fastpath=False)
    system = PythonSystem([root, giver, taker], config=config, costs=Costs(syscall=10, work_unit=1))
    system.run(max_entries=1000)
    return system


def _exchange(caps: int) -> float:
    """Microseconds for a round trip."""
    system = exchange(caps)
    return least(lambda: system.run(max_entries=2 * ROUNDS), ROUNDS)


def _switch() -> float:
    """Microseconds for a Yield that switches to the other of two threads in two address spaces."""

    async def root(start: Start) -> None:
        env = await root_environment(start)
        await _step_down(env)
        for entry in start.values[1:3]:
            await start_apart(env, entry, 100)
        await env.sys.wait(await env.memory.alloc(obj.NOTIFICATION))

    system = PythonSystem([root, yielder, yielder], costs=Costs(syscall=10, work_unit=1))
    system.run(max_entries=1000)
    return least(lambda: system.run(max_entries=ROUNDS), ROUNDS)


async def _step_down(env: Environment) -> None:
    """Below the threads that are measured, which run as soon as they are started."""
    await stubs.tcb_set_priority(env.sys, env.tcb, priority=99, authority=env.tcb)


def figures() -> list[Figure]:
    """All figures of this module."""
    plain = _exchange(0)
    turn = least(lambda: floor(ROUNDS), 2 * ROUNDS)
    return [
        Figure("a cap in a message adds", "cap", _exchange(1) - plain, plain, "the round trip without it", most=0.8),
        Figure("Yield to another thread", "switch", _switch(), turn, "one generator's turn"),
    ]
