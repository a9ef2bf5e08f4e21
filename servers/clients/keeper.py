"""Writes one file that others may read, and ends."""

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.files import Directory
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD

region: int = 0
report: int = 0

FILES = 0
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500


async def init(pd: PD) -> None:
    """Write it."""
    inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
    root = connect(Directory, Connection(pd.sys, inbox), BASE_ENDPOINT_CAP + FILES)
    file = await root.create("kept")
    await file.write(0, b"kept")
    await file.sync()
    await pd.store(report, 1)
