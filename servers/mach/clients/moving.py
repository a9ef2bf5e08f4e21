"""Scenario MA-2: a receive right moves while somebody sends. Who plays which part says the domain's name."""

from typing import Any

from capkernel.protocols.failures import Failure, Gone
from capkernel.protocols.mach_msg import move_receive, receive, send
from capkernel.protocols.mach_ports import DEFAULT_LIMIT, FOREVER
from capkernel.user.loop import PD
from servers.mach.tasks import connection_of, task_of

report: int = 0

DONE, COUNT, ERRORS, AFTER, FIRST = 0, 8, 16, 24, 32
"""Offsets: 1 at the end; messages that were sent or received; failures; tries with the right that was sent away which
found it gone; the numbers that were received.
"""
MESSAGES, KEPT = 60, 20
"""So many are sent; the first owner receives so many."""
PAUSE = 20_000
"""Ticks in which nobody receives."""


async def init(pd: PD) -> None:
    """Play a part."""
    await {"server": _first_owner, "client": _sender, "third": _next_owner}[pd.name](pd)
    await pd.store(report + DONE, 1)


async def _sender(pd: PD) -> None:
    task = task_of(connection_of(pd))
    stream: Any = await task.look_up("stream", FOREVER)
    errors = 0
    for number in range(1, MESSAGES + 1):
        try:
            await send(stream, 1, number.to_bytes(8, "little"))
        except Failure:
            errors += 1
        await pd.store(report + COUNT, number)
        await pd.store(report + ERRORS, errors)


async def _receive(pd: PD, task: Any, port: Any, count: int) -> None:
    for taken in range(count):
        mail = await receive(task, port)
        await pd.store(report + FIRST + 8 * taken, int.from_bytes(mail.data, "little"))
        await pd.store(report + COUNT, taken + 1)


async def _first_owner(pd: PD) -> None:
    task = task_of(connection_of(pd))
    heir: Any = await task.look_up("heir", FOREVER)
    port: Any = await task.allocate(DEFAULT_LIMIT)
    await task.check_in("stream", await port.make_send())
    await _receive(pd, task, port, KEPT)
    await pd.compute(PAUSE)
    other: Any = await port.derive()
    await send(heir, 2, rights=[move_receive(port)])
    for attempt in (lambda: receive(task, other, timeout_us=0), other.make_send, other.drop):
        try:
            await attempt()
        except Gone:
            await pd.store(report + AFTER, await pd.load(report + AFTER) + 1)


async def _next_owner(pd: PD) -> None:
    task = task_of(connection_of(pd))
    mine: Any = await task.allocate(DEFAULT_LIMIT)
    await task.check_in("heir", await mine.make_send())
    await pd.compute(3 * PAUSE)
    mail = await receive(task, mine)
    await pd.compute(PAUSE)
    await _receive(pd, task, mail.rights[0], MESSAGES - KEPT)
