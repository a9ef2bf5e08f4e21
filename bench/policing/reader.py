"""Reads 512 bytes again and again, of a file that it was lent, or that is its own."""

from typing import Any

from bench.policing.policing import MARK, ROUNDS
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import ServerDied
from capkernel.protocols.files import Directory
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD

report: int = 0
OWN_CNODE, HOME, FIRST_SLOT, END_SLOT = 301, 310, 330, 500
SIZE = 512


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Make the file; then a mark, reads, a mark."""
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        home: Any = connect(Directory, connection, HOME)
        while True:
            try:
                file = await home.create("page")
            except ServerDied:
                continue
            break
        await file.write(0, bytes(SIZE))
        await pd.store(report + 8 * MARK, 1)
        for _ in range(ROUNDS):
            await file.read(0, SIZE)
        await pd.store(report + 8 * MARK, 2)
