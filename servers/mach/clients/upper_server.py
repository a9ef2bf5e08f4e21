"""The example of docs/mach.md, the server: gives texts back in capitals."""

from typing import Any

from capkernel.protocols.failures import Malformed
from capkernel.protocols.mach_msg import Mail, serve_one
from capkernel.protocols.mach_ports import DEFAULT_LIMIT
from capkernel.user.loop import PD
from servers.mach.tasks import connection_of, task_of

report: int = 0

UPPER = 500


async def upper(mail: Mail) -> bytes:
    """What to answer; whatever rights came along and stay in ``mail`` are given up behind our back, once."""
    if mail.id != UPPER:
        raise Malformed(f"{mail.id} is no request of this server's")
    return mail.data.upper()


async def init(pd: PD) -> None:
    """A port, its send right under a key, and a loop."""
    task = task_of(connection_of(pd))
    port: Any = await task.allocate(DEFAULT_LIMIT)
    await task.check_in("upper", await port.make_send())
    while True:
        await serve_one(task, port, upper)
