"""Scenario MA-1, the receiver: gives out send and send-once rights, and counts what each of them brings."""

from typing import Any

from capkernel.protocols.failures import TimedOut
from capkernel.protocols.mach_msg import move_send_once, receive, release, send
from capkernel.protocols.mach_ports import DEFAULT_LIMIT, FOREVER, SEND_ONCE, DeadName
from capkernel.user.loop import PD
from servers.mach.tasks import connection_of, task_of

report: int = 0

DONE, COPIES, ROUNDS, USED, GIVEN_UP, EXTRA, FIRST = 0, 8, 16, 24, 32, 40, 48
"""Offsets: 1 at the end; messages through copied send rights, as bits by sender; send-once rights that were given
away; messages through them; notifications; messages beyond one for each; for each round the ``id`` that came.
"""
ROUND_COUNT = 4
LONG_US = 400_000


async def init(pd: PD) -> None:
    """Two senders with copies of one right, then send-once rights, each for a holder who may die with it."""
    task = task_of(connection_of(pd))
    box: Any = await task.allocate(DEFAULT_LIMIT)
    await task.check_in("box", await box.make_send())
    seen = 0
    while seen != 3:
        seen |= 1 << (await receive(task, box)).data[0]
        await pd.store(report + COPIES, seen)
    counts = {USED: 0, GIVEN_UP: 0, EXTRA: 0}
    for number in range(ROUND_COUNT):
        port: Any = await task.allocate(DEFAULT_LIMIT)
        await _give(task, port, b"%d" % number)
        mail = await receive(task, port, timeout_us=LONG_US)
        counts[GIVEN_UP if mail.id == SEND_ONCE else USED] += 1
        counts[EXTRA] += await _count(task, port)
        await release(port)
        await pd.store(report + FIRST + 8 * number, mail.id)
        for where, count in counts.items():
            await pd.store(report + where, count)
        await pd.store(report + ROUNDS, number + 1)
    await pd.store(report + DONE, 1)


async def _give(task: Any, port: Any, data: bytes) -> None:
    """Send a send-once right to the holder that lives now; one that dies before it is sent changes nothing."""
    once = await port.make_send_once()
    while True:
        holder = await task.look_up("holder", FOREVER)
        try:
            await send(holder, 1, data, rights=[move_send_once(once)])
        except DeadName:
            await release(holder)
        else:
            return await release(holder)


async def _count(task: Any, port: Any) -> int:
    """How many messages are queued still, and come within a while."""
    count = 0
    try:
        while True:
            await receive(task, port, timeout_us=2_000)
            count += 1
    except TimedOut:
        return count
