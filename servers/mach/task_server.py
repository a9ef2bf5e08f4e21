"""Tasks from their start to their end: whoever faults is ended, its rights go with it, and it may begin again.

Child n of this server is the task of the port server's channel ``FIRST_TASK`` + n. The order of an end matters: first
the domain is destroyed, so that it can do nothing more, then the port server is told that nobody has its rights.
"""

from typing import Any, Final

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.mach_ports import Host
from capkernel.user import lifecycle
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.syscalls import Message
from servers.mach.configuration import read_configuration

PORTS: Final = 0
FIRST_TASK: Final = 2
LIFECYCLE: Final = 330
"""Slot of the lifecycle cap to child 0; the others' follow."""


class TaskHost:
    """The hooks. ``tasks`` is where the table of tasks is."""

    tasks: int = 0
    tasks_size: int = 0x1000

    def __init__(self) -> None:
        self.children: list[int] = []
        """The tasks' numbers; one that ends none of its own is among them."""
        self.left: dict[int, int] = {}
        """Lives by task."""

    async def init(self, pd: PD) -> None:
        """Wait for whoever comes to grief."""
        found = read_configuration((await pd.read(self.tasks, self.tasks_size)).rstrip(b"\0").decode())
        self.children, self.left = sorted(found.tasks), found.lives

    async def notified(self, pd: PD, ch: int) -> None:
        """Nothing is signalled."""

    async def fault(self, pd: PD, child: int, msg: Message) -> bool:
        """End a task."""
        await self.terminate(pd, child)
        return False

    async def terminate(self, pd: PD, child: int) -> None:
        """End a task; it begins again as often as the description lets it."""
        host: Any = connect(Host, Connection(pd.sys), BASE_ENDPOINT_CAP + PORTS)
        await lifecycle.destroy(pd.sys, LIFECYCLE + child)
        await host.task_ended(FIRST_TASK + child)
        left = self.left[FIRST_TASK + child] = self.left.get(FIRST_TASK + child, 1) - 1
        if left > 0:
            await lifecycle.rebuild(pd.sys, LIFECYCLE + child)
            await lifecycle.start(pd.sys, LIFECYCLE + child)


class Program(TaskHost):
    """The server as it is."""
