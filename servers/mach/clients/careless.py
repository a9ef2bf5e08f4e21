"""Scenario MA-N, the server: on an error it gives up a right, and later, as it tidies up, gives it up once more."""

from typing import Any

from capkernel.protocols.failures import Failure, NotFound
from capkernel.protocols.mach_msg import receive, send
from capkernel.protocols.mach_ports import DEFAULT_LIMIT, FOREVER, MAX_INLINE
from capkernel.user.loop import PD
from servers.mach.tasks import connection_of, task_of

report: int = 0

DONE, SENDERS, SEND_ONCES, KEPT, REFUSED, ANSWERED = 0, 8, 16, 24, 32, 40
"""Offsets: 1 at the end; rights to its port after the attack; rights of the victim's that it still had; second
deallocations that were refused; 1 if the victim was answered.
"""
HELLO, OVER, BAD, GOOD = 8, 9, 13, 14
SETTLE = 30_000


async def init(pd: PD) -> None:
    """Keep the victim's rights while somebody attacks; then make the mistake."""
    task = task_of(connection_of(pd))
    port: Any = await task.allocate(DEFAULT_LIMIT)
    right: Any = await port.make_send()
    await task.check_in("service", right)
    kept: list[Any] = (await receive(task, port)).rights
    await task.check_in("go", right)
    while (await receive(task, port)).id != OVER:
        pass
    await pd.compute(SETTLE)
    status = await port.status()
    await pd.store(report + SENDERS, status.senders)
    await pd.store(report + SEND_ONCES, status.send_onces)
    for right in kept:
        await send(right, HELLO)
        await pd.store(report + KEPT, await pd.load(report + KEPT) + 1)
    await _make_the_mistake(pd, task, port)
    await pd.store(report + DONE, 1)


async def _make_the_mistake(pd: PD, task: Any, port: Any) -> None:
    bad = await port.receive(MAX_INLINE, FOREVER)
    await task.deallocate(bad.reply.name)
    to_be_tidied = bad.reply.name
    good = await port.receive(MAX_INLINE, FOREVER)
    try:
        await task.deallocate(to_be_tidied)
    except NotFound:
        await pd.store(report + REFUSED, 1)
    try:
        await send(await task.send_once_right(good.reply.name), GOOD)
        await pd.store(report + ANSWERED, 1)
    except Failure:
        pass
