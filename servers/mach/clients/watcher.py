"""Scenario MA-3, the one who is told: of ports that die, and of ports of its own to which nobody can send any more."""

from typing import Any

from capkernel.protocols.failures import TimedOut
from capkernel.protocols.mach_msg import make_send, receive, release, send
from capkernel.protocols.mach_ports import (
    DEAD_NAME,
    DEFAULT_LIMIT,
    FOREVER,
    NO_SENDERS,
    PORT_DELETED,
    SEND_ONCE,
    DeadName,
)
from capkernel.user.loop import PD
from servers.mach.tasks import connection_of, task_of

report: int = 0

DONE, ROUNDS, DEAD, EMPTY, DELETED, UNUSED, OTHER, WRONG = 0, 8, 16, 24, 32, 40, 48, 56
"""Offsets: 1 at the end; rounds; notifications of each kind; messages else; notifications about something else."""
ROUND_COUNT = 3
LATER_US = 3_000


async def init(pd: PD) -> None:
    """Some rounds, each with a fresh set of requests."""
    task = task_of(connection_of(pd))
    counts = dict.fromkeys((DEAD, EMPTY, DELETED, UNUSED, OTHER, WRONG), 0)
    for number in range(ROUND_COUNT):
        await _round(task, counts)
        for where, count in counts.items():
            await pd.store(report + where, count)
        await pd.store(report + ROUNDS, number + 1)
    await pd.store(report + DONE, 1)


async def _round(task: Any, counts: dict[int, int]) -> None:
    news: Any = await task.allocate(DEFAULT_LIMIT)
    own: Any = await task.allocate(DEFAULT_LIMIT)
    await own.notify_no_senders(await news.make_send_once(), 1)
    right: Any
    while True:
        right = await task.look_up("mortal", FOREVER)
        another, third = await _copies(right)
        if another is not None:
            for each in (right, another, third):
                await each.notify_dead(await news.make_send_once())
            await release(third)
            try:
                await send(right, 1, rights=[make_send(own)])
                break
            except DeadName:
                pass
        # It died before it got anything: what was asked for is told, and counts for nothing.
        for each in (right, another, third):
            await release(each)
        while (await news.status()).queued:
            await receive(task, news)
    expected = {(await right.info()).name, (await another.info()).name}
    await _hear(task, news, expected, counts)
    await _hear_late(task, news, counts)
    await _hear_late(task, own, dict.fromkeys(counts, 0))
    for each in (news, own, right, another):
        await release(each)


async def _copies(right: Any) -> tuple[Any, Any]:
    """Two copies, or none if the port is dead by now."""
    try:
        return await right.copy(), await right.copy()
    except DeadName:
        return None, None


async def _hear(task: Any, news: Any, names: set[int], counts: dict[int, int]) -> None:
    """Four messages are due: of two rights to a port that died, of one that was given up, of no senders."""
    for _ in range(4):
        mail = await receive(task, news)
        if mail.id == DEAD_NAME:
            counts[WRONG] += mail.subject not in names
            names.discard(mail.subject)
        counts[{DEAD_NAME: DEAD, NO_SENDERS: EMPTY, PORT_DELETED: DELETED, SEND_ONCE: UNUSED}.get(mail.id, OTHER)] += 1


async def _hear_late(task: Any, port: Any, counts: dict[int, int]) -> None:
    """Whatever comes after that is too much."""
    try:
        while True:
            await receive(task, port, timeout_us=LATER_US)
            counts[OTHER] += 1
    except TimedOut:
        pass
