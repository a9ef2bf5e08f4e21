"""Scenario MA-3, the one who dies: has a send right to somebody's port, copies it, and ends; or is ended before."""

from typing import Any

from capkernel.protocols.mach_msg import receive, release, send
from capkernel.protocols.mach_ports import DEFAULT_LIMIT
from capkernel.user.loop import PD
from servers.mach.tasks import connection_of, task_of

report: int = 0


async def init(pd: PD) -> None:
    """Life after life."""
    task = task_of(connection_of(pd))
    while True:
        port: Any = await task.allocate(DEFAULT_LIMIT)
        await task.check_in("mortal", await port.make_send())
        right: Any = (await receive(task, port)).rights[0]
        copies = [await right.copy() for _ in range(2)]
        await send(copies[0], 1, b"alive")
        await release(right)
        await task.terminate()
        for each in (port, *copies):
            await each.forget()
