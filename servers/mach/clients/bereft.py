"""Scenario MA-N, the victim: has given rights to the server, and then wants an answer from it."""

from typing import Any

from capkernel.protocols.failures import ServerDied
from capkernel.protocols.mach_msg import make_send_once, receive, rpc, send
from capkernel.protocols.mach_ports import DEFAULT_LIMIT, FOREVER
from capkernel.user.loop import PD
from servers.mach.clients.careless import GOOD, HELLO
from servers.mach.tasks import connection_of, task_of

report: int = 0

HEARD, OTHER, ANSWERED, LOST = 0, 8, 16, 24
"""Offsets: messages through the rights that it gave; other messages there; answers; answers that will never come."""
RIGHTS = 2


async def init(pd: PD) -> None:
    """Give, hear, ask."""
    task = task_of(connection_of(pd))
    service: Any = await task.look_up("service", FOREVER)
    own: Any = await task.allocate(DEFAULT_LIMIT)
    await send(service, HELLO, rights=[make_send_once(own)] * RIGHTS)
    for _ in range(RIGHTS):
        mail = await receive(task, own)
        where = HEARD if mail.id == HELLO else OTHER
        await pd.store(report + where, await pd.load(report + where) + 1)
    await task.look_up("bad was sent", FOREVER)
    try:
        await rpc(task, service, GOOD)
        await pd.store(report + ANSWERED, 1)
    except ServerDied:
        await pd.store(report + LOST, 1)
