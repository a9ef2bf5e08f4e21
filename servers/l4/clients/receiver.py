"""An accomplice: whoever takes its endpoint for a space, and asks that to map something, hands it a space's cap."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.l4 import EVERYTHING, Space
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

CALLS, PAGES = 0, 8
"""Offsets in the report: calls that came; bytes that could be taken through the caps that came along."""
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 310, 330


class Program:
    """The accomplice."""

    report: int = 0

    def __init__(self) -> None:
        self.inbox: Any = None

    async def init(self, pd: PD) -> None:
        """Be ready for caps."""
        self.inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        await self.inbox.open()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Message:
        """Take what comes along, and look what it is good for."""
        await pd.store(self.report + CALLS, await pd.load(self.report + CALLS) + 1)
        cap = await self.inbox.take(msg)
        if cap is not None:
            space = connect(Space, Connection(pd.sys), cap)
            try:
                found = await space.memory()
                await pd.store(self.report + PAGES, sum(each.fpage.size for each in found))
                await space.unmap(EVERYTHING, False)
            except Failure:
                return Message()
        return Message()
