"""Call + ReplyRecv between two threads in two address spaces, budgets charged, virtual time on."""

import asyncio
from dataclasses import replace

from bench.ping_pong import client, floor, root, server
from bench.timing import Figure, least
from capkernel.runtime.platform import PRESETS
from capkernel.runtime.python_system import PythonSystem
from capkernel.runtime.trace import Trace

ROUNDS = 5000


def _exchange(*, fastpath: bool, traced: bool = False) -> float:
    config = replace(PRESETS["demo"], fastpath=fastpath)
    system = PythonSystem([root, client, server], config=config)
    if traced:
        Trace(system.loop)
    system.run(max_entries=2000)
    return least(lambda: system.run(max_entries=2 * ROUNDS), ROUNDS)


async def _asyncio_exchange() -> None:
    one: asyncio.Queue[int] = asyncio.Queue()
    other: asyncio.Queue[int] = asyncio.Queue()

    async def serve() -> None:
        for _ in range(ROUNDS):
            await other.put(await one.get())

    task = asyncio.create_task(serve())
    for _ in range(ROUNDS):
        await one.put(1)
        await other.get()
    await task


def figures() -> list[Figure]:
    """All figures of this module."""
    base = least(lambda: floor(ROUNDS), ROUNDS)
    peer = least(lambda: asyncio.run(_asyncio_exchange()), ROUNDS)
    name = "two generators, no kernel"
    return [
        Figure("Call + ReplyRecv", "round trip", _exchange(fastpath=True), base, name, 8),
        Figure("the same, slow path", "round trip", _exchange(fastpath=False), base, name),
        Figure("the same, traced", "round trip", _exchange(fastpath=True, traced=True), base, name),
        Figure("asyncio, two queues", "round trip", peer, base, name),
    ]
