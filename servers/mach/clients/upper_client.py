"""The example of docs/mach.md, the client."""

from typing import Any

from capkernel.protocols.mach_msg import rpc
from capkernel.protocols.mach_ports import FOREVER
from capkernel.user.loop import PD
from servers.mach.clients.upper_server import UPPER
from servers.mach.tasks import connection_of, task_of

report: int = 0


async def init(pd: PD) -> None:
    """Ask twice; the second request is none."""
    task = task_of(connection_of(pd))
    server: Any = await task.look_up("upper", FOREVER)
    for request in (UPPER, UPPER + 1):
        mail = await rpc(task, server, request, b"a text")
        await pd.print(f"{mail.id}: {mail.data.decode()}\n")
    await pd.store(report, 1)
