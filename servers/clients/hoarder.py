"""Makes directories in directories with the longest names, and keeps a cap to each: in the way of who replaces servers.

That is more than the file server can write down for the program after it.
"""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.files import MAX_NAME, Directory
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD

report: int = 0
orders: int = 0

FILES = 0
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
DEPTH = 18
OPENED, DONE = 0, 56
"""Offsets in the report: caps that are open; 1 at the end."""


async def init(pd: PD) -> None:
    """Make them."""
    inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
    directory: Any = connect(Directory, Connection(pd.sys, inbox), BASE_ENDPOINT_CAP + FILES)
    for number in range(DEPTH):
        directory = await directory.make_directory("d" * MAX_NAME)
        await pd.store(report + OPENED, number + 1)
    await pd.store(report + DONE, 1)
