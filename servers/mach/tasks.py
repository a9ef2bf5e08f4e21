"""What a program finds that is a task: its names for ports, a place for caps, and a report that others may look at."""

from typing import Final

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.mach_ports import Task
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion

CHANNEL: Final = 0
"""A task's channel to the port server, by which it may be signalled."""
PORTS: Final = 300
"""Slot of the cap through which it asks; unlike the channel's it takes rights along."""
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 310, 500


def connection_of(pd: PD, region: SharedRegion | None = None) -> Connection:
    """How a task calls servers; ``region`` is what it shares with the port server."""
    return Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)), region)


def task_of(connection: Connection) -> Task:
    """The task's names."""
    return connect(Task, connection, PORTS)
