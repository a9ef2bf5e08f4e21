"""Scenario MA-1: has a send right and gives a copy of it away; then tries what only the receiver may."""

from collections.abc import Awaitable, Callable
from typing import Any

from capkernel.protocols.client import connect
from capkernel.protocols.failures import Failure, ServerDied
from capkernel.protocols.mach_msg import Part, copy_send, make_send, move_receive, receive, release, rpc, send
from capkernel.protocols.mach_ports import FOREVER, DeadName, Disposition, ReceiveRight
from capkernel.user.loop import PD
from servers.mach.tasks import connection_of, task_of

report: int = 0

SENT, TRIES, DENIED = 0, 8, 16
"""Offsets: messages that were sent; tries to receive without the right to; those that were refused."""


async def init(pd: PD) -> None:
    """Send, share, try."""
    connection = connection_of(pd)
    task = task_of(connection)
    box: Any = await task.look_up("box", FOREVER)
    await send(box, 1, bytes([0]))
    await _share(task, box)
    await send(box, 1, bytes([0]))
    await pd.store(report + SENT, 3)
    name = (await box.info()).name
    as_receiver = connect(ReceiveRight, connection, box.cap)
    tries: list[Callable[[], Awaitable[Any]]] = [
        lambda: as_receiver.receive(64, 0),
        lambda: receive(task, as_receiver, timeout_us=0),
        as_receiver.make_send,
        as_receiver.make_send_once,
        lambda: as_receiver.set_limit(1),
        lambda: task.receive_right(name),
        lambda: send(box, 1, rights=[make_send(box)]),
        lambda: send(box, 1, rights=[move_receive(box)]),
        lambda: send(box, 1, rights=[Part(Disposition.MAKE_SEND_ONCE, box)]),
    ]
    denied = 0
    for attempt in tries:
        try:
            await attempt()
        except Failure:
            denied += 1
    await pd.store(report + DENIED, denied)
    await pd.store(report + TRIES, len(tries))


async def _share(task: Any, box: Any) -> None:
    """Give a friend a copy, and another one if he dies before he says that he has used it."""
    while True:
        friend: Any = await task.look_up("holder", FOREVER)
        try:
            await rpc(task, friend, 1, rights=[copy_send(box)])
            return
        except (DeadName, ServerDied):
            await release(friend)
