"""Asks the same of a directory of its own machine's and of another's, as often as it is told, to be measured."""

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

OWN_CNODE, GATEWAY, HOME, FIRST_SLOT, END_SLOT = 301, 310, 311, 330, 500
DONE, READY = range(2)
"""Words of the report: the last order that was carried out; whether the other machine's directory is there."""
NEAR, FAR = 1, 2
"""Orders, in the low byte of the first word: which directory to ask. The second word says how often."""


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Get the other machine's directory, then carry out orders."""
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        gateway: Any = connect(Remote, connection, GATEWAY)
        near: Any = connect(Directory, connection, HOME)
        far: Any = None
        while far is None:
            try:
                far = connect(Directory, connection, await gateway.lookup("c", "library"))
            except Failure:
                await pd.compute(10_000)
        await pd.store(report + 8 * READY, 1)
        done = 0
        while True:
            order = await pd.load(orders)
            if order == done:
                await pd.compute(1_000)
                continue
            for _ in range(await pd.load(orders + 8)):
                await (near if order & 0xFF == NEAR else far).info("")
            done = order
            await pd.store(report + 8 * DONE, done)
