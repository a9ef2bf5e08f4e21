"""Owns files that another machine uses, and ends that when it is told to."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.files import Directory
from capkernel.protocols.remote import Remote
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD

report: int = 0
orders: int = 0

OWN_CNODE, GATEWAY, HOME, FIRST_SLOT, END_SLOT = 301, 310, 311, 330, 500
DONE, ANSWERED, TOLD, SILENT, FILES, ASKED = range(6)
"""Words of the report: the end; when the withdrawal was answered, in microseconds; how many machines cut what they had,
and how many did not answer; files named n… that there are; when the withdrawal was asked for.
"""
WITHDRAW, COUNT = 1, 2
"""Orders."""
TICKS_PER_US = 10


class Program:
    """The client."""

    def __init__(self) -> None:
        self.done = 0

    async def init(self, pd: PD) -> None:
        """Wait for orders."""
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        self.gateway: Any = connect(Remote, connection, GATEWAY)
        self.home: Any = connect(Directory, connection, HOME)

    async def notified(self, pd: PD, ch: int) -> None:
        """Time passes: see whether there is an order."""
        order = await pd.load(orders)
        if order == self.done:
            return
        self.done = order
        if order == WITHDRAW:
            await pd.store(report + 8 * ASKED, await pd.clock() // TICKS_PER_US)
            revoked = await self.gateway.withdraw("library", "a")
            for place, word in ((TOLD, len(revoked.told)), (SILENT, len(revoked.silent))):
                await pd.store(report + 8 * place, word)
            await pd.store(report + 8 * ANSWERED, await pd.clock() // TICKS_PER_US)
        else:
            await pd.store(report + 8 * FILES, await self._count())
        await pd.store(report + 8 * DONE, order)

    async def _count(self) -> int:
        start = count = 0
        while entries := await self.home.list(start):
            count += sum(entry.name.startswith("n") for entry in entries)
            start += len(entries)
        return count
