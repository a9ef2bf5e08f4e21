"""What programs have in common that hand caps to each other by pigeonholes."""

from typing import Any

from capkernel.protocols.again import insist
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import NotFound
from capkernel.protocols.interface import Cap
from capkernel.protocols.pigeonholes import Pigeonhole, Slot
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD

OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 330, 500
PAUSE = 1_000
"""Ticks between two looks into a pigeonhole."""


class Party:
    """Who hands over caps. ``report`` is the address of a row of words."""

    def __init__(self, pd: PD, report: int) -> None:
        self.pd = pd
        self.report = report
        self.connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))

    def at(self, interface: Any, slot: int, *, is_owned: bool = False) -> Any:
        """The object behind a cap."""
        return connect(interface, self.connection, slot, is_owned=is_owned)

    async def put(self, hole: int, stub: Any) -> None:
        """Hand over a cap, derived from one's own, by the pigeonhole whose slot's cap is there."""
        given: Any = await insist(stub.derive)
        await self.at(Slot, hole).put(Cap(given.cap))
        await given.forget()

    async def take(self, hole: int, interface: Any) -> Any:
        """Wait until a cap is there, and take it for an object of an interface."""
        while True:
            try:
                return self.at(interface, await self.at(Pigeonhole, hole).take(), is_owned=True)
            except NotFound:
                await self.pd.compute(PAUSE)

    async def tell(self, *words: int) -> None:
        """Write the report."""
        for place, word in enumerate(words):
            await self.pd.store(self.report + 8 * place, word)
