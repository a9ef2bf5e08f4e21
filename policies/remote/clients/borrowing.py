"""Does with tokens what it is told, one order at a time: an honest user, or the hands of an attacker."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.files import Directory
from capkernel.protocols.remote import Remote
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD

report: int = 0
orders: int = 0

OWN_CNODE, GATEWAY, FIRST_SLOT, END_SLOT = 301, 310, 330, 500
DONE, WORKED = range(2)
"""Words of the report: the last order that was carried out, and whether that worked."""
ACCEPT, CREATE, REMOVE, LOOK, LOOKUP = range(1, 6)
"""Orders, in the low byte of the first word; for ACCEPT the next one is a token's size, and then comes the token."""


class Program:
    """The client."""

    def __init__(self) -> None:
        self.done = self.number = 0
        self.held: Any = None

    async def init(self, pd: PD) -> None:
        """Wait for orders."""
        self.connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        self.gateway: Any = connect(Remote, self.connection, GATEWAY)

    async def notified(self, pd: PD, ch: int) -> None:
        """Time passes: see whether there is an order."""
        order = await pd.load(orders)
        if order == self.done:
            return
        self.done = order
        try:
            await self._do(pd, order & 0xFF)
            worked = 1
        except Failure:
            worked = 0
        await pd.store(report + 8 * WORKED, worked)
        await pd.store(report + 8 * DONE, order)

    async def _do(self, pd: PD, order: int) -> None:
        if order == ACCEPT:
            token = await pd.read(orders + 16, await pd.load(orders + 8))
            self._hold(await self.gateway.accept(token))
        elif order == LOOKUP:
            self._hold(await self.gateway.lookup("c", "library"))
        elif order == CREATE:
            self.number += 1
            await (await self.held.create(f"n{self.number}")).forget()
        elif order == REMOVE:
            await self.held.remove(f"n{self.number}")
        else:
            await self.held.list(0)

    def _hold(self, cap: int) -> None:
        self.held = connect(Directory, self.connection, cap, is_owned=True)
