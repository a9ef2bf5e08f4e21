"""Scenario MA-5: loads from four addresses at which there is nothing, and says what it got."""

from contextlib import suppress
from typing import Any

from capkernel.protocols.client import connect
from capkernel.protocols.failures import Failure, NotPermitted
from capkernel.protocols.mach_exceptions import Level, Thread
from capkernel.protocols.mach_ports import FOREVER
from capkernel.user.loop import PD
from servers.mach.tasks import connection_of, task_of

report: int = 0
data: int = 0

OWN_THREAD = 302
DENIED, DONE, SEEN = 0, 8, 16
"""Offsets: 1 if the host's exception port could not be set; how many loads were done; what they brought."""
NOWHERE = (0x7000_0000, 0x7001_0000, 0x7002_0000, 0x7003_0000)
PATIENCE_US = 20_000


async def init(pd: PD) -> None:
    """Set the task's own exception port; then load."""
    connection = connection_of(pd)
    task = task_of(connection)
    keeper: Any = await task.look_up("keeper", FOREVER)
    thread = connect(Thread, connection, OWN_THREAD)
    await thread.set_exception_port(Level.TASK, await keeper.derive())
    try:
        await thread.set_exception_port(Level.HOST, await keeper.derive())
    except NotPermitted:
        await pd.store(report + DENIED, 1)
    await task.look_up("guard", FOREVER)
    with suppress(Failure):
        await task.look_up("debugger", PATIENCE_US)
    for number, address in enumerate(NOWHERE):
        await pd.store(report + SEEN + 8 * number, await pd.load(address))
        await pd.store(report + DONE, number + 1)
