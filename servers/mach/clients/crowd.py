"""Scenario MA-6: senders at a queue's limit, and who pays for what is queued. The domain's name says which part."""

from typing import Any

from capkernel.protocols.failures import Failure, QuotaExceeded, TimedOut
from capkernel.protocols.mach_msg import move_receive, receive, send
from capkernel.protocols.mach_ports import DEFAULT_LIMIT, FOREVER
from capkernel.user.loop import PD
from servers.mach.tasks import connection_of, task_of

report: int = 0

DONE, SENT, TIMED_OUT, WAITED, OWN_USED, THIN = 0, 8, 16, 24, 32, 40
"""Offsets of the sender: 1 at the end; messages sent; sends that were given up; ticks until one was; bytes that it pays
for; messages that a port took whose owner has little memory.
"""
BEFORE, FULL, QUEUED, AFTER, GIVEN, KEPT = 8, 16, 24, 32, 40, 48
"""Offsets of the owner: bytes in use at first, when the queue is full, and its messages then; at the end; bytes before
and after a port was given away.
"""
REFUSED, TAKEN = 8, 16
"""Offsets of the one who has little: ports that it could not pay for; bytes that it pays after it could."""
MESSAGES, SIZE, BIG, WAIT_US = 12, 100, 600, 2_000


async def init(pd: PD) -> None:
    """Play a part."""
    await {"server": _owner, "client": _sender, "third": _poor}[pd.name](pd)
    await pd.store(report + DONE, 1)


async def _owner(pd: PD) -> None:
    task = task_of(connection_of(pd))
    await pd.store(report + BEFORE, (await task.memory()).used)
    port: Any = await task.allocate(DEFAULT_LIMIT)
    await task.check_in("narrow", await port.make_send())
    await pd.compute(100_000)
    await pd.store(report + FULL, (await task.memory()).used)
    await pd.store(report + QUEUED, (await port.status()).queued)
    await pd.compute(20_000)
    for _ in range(MESSAGES):
        await receive(task, port)
        await pd.compute(2_000)
    await pd.store(report + AFTER, (await task.memory()).used)
    heavy: Any = await task.allocate(DEFAULT_LIMIT)
    right: Any = await heavy.make_send()
    for _ in range(2):
        await send(right, 1, bytes(BIG))
    await pd.store(report + GIVEN, (await task.memory()).used)
    poor: Any = await task.look_up("poor", FOREVER)
    await send(poor, 2, rights=[move_receive(heavy)])
    while (await task.memory()).used:
        await pd.compute(1_000)
    await pd.store(report + KEPT, (await task.memory()).used)


async def _sender(pd: PD) -> None:
    task = task_of(connection_of(pd))
    narrow: Any = await task.look_up("narrow", FOREVER)
    thin: Any = await task.look_up("poor", FOREVER)
    for number in range(MESSAGES):
        if number == DEFAULT_LIMIT:
            await _try_a_while(pd, narrow)
            await pd.store(report + THIN, await _fill(thin))
            await pd.store(report + OWN_USED, (await task.memory()).used)
        await send(narrow, 1, bytes(SIZE))
        await pd.store(report + SENT, number + 1)


async def _try_a_while(pd: PD, narrow: Any) -> None:
    for timeout_us in (0, WAIT_US):
        start = await pd.clock()
        try:
            await send(narrow, 1, bytes(SIZE), timeout_us=timeout_us)
        except TimedOut:
            await pd.store(report + TIMED_OUT, await pd.load(report + TIMED_OUT) + 1)
        await pd.store(report + WAITED, await pd.clock() - start)


async def _fill(thin: Any) -> int:
    """How many big messages a port takes whose limit is far higher than its owner's memory."""
    sent = 0
    try:
        while True:
            await send(thin, 1, bytes(BIG), timeout_us=0)
            sent += 1
    except Failure:
        return sent


async def _poor(pd: PD) -> None:
    task = task_of(connection_of(pd))
    port: Any = await task.allocate(1000)
    ballast: Any = await task.allocate(DEFAULT_LIMIT)
    await task.check_in("poor", await port.make_send())
    await pd.compute(60_000)
    while (await port.status()).queued:
        await receive(task, port)
    await send(await ballast.make_send(), 1, bytes(BIG))
    try:
        await receive(task, port)
    except QuotaExceeded:
        await pd.store(report + REFUSED, 1)
    await receive(task, ballast)
    await receive(task, port)
    await pd.store(report + TAKEN, (await task.memory()).used)
