"""Owns files that other machines use; lends them and ends that as it is told."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.files import Directory
from capkernel.protocols.remote import Remote, Terms
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
TOKEN, TOKEN_SIZE = 0x100, 0xF8
"""Offsets in the report: the token that was issued last, and how many bytes it has."""
WITHDRAW, COUNT, ISSUE, REVOKE = range(1, 5)
"""Orders, in the low byte. For ISSUE the next words say to which machine (``MACHINES``), until which second, and
whether the token is only to look.
"""
MACHINES = ("a", "m")
DIRECTORY = 3
LOOKING = ["Directory.list", "Directory.info"]
TICKS_PER_US = 10


class Program:
    """The client."""

    def __init__(self) -> None:
        self.done = 0
        self.token = b""

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
        kind = order & 0xFF
        if kind == WITHDRAW:
            await self._withdraw(pd)
        elif kind == COUNT:
            await pd.store(report + 8 * FILES, await self._count())
        elif kind == ISSUE:
            await self._issue(pd)
        else:
            await self.gateway.revoke_token(self.token)
        await pd.store(report + 8 * DONE, order)

    async def _withdraw(self, pd: PD) -> None:
        await pd.store(report + 8 * ASKED, await pd.clock() // TICKS_PER_US)
        revoked = await self.gateway.withdraw("library", "a")
        for place, word in ((TOLD, len(revoked.told)), (SILENT, len(revoked.silent))):
            await pd.store(report + 8 * place, word)
        await pd.store(report + 8 * ANSWERED, await pd.clock() // TICKS_PER_US)

    async def _issue(self, pd: PD) -> None:
        machine, until, narrow = [await pd.load(orders + 8 * place) for place in range(1, 4)]
        self.token = await self.gateway.issue(HOME, DIRECTORY, MACHINES[machine], Terms(None, until))
        if narrow:
            self.token = await self.gateway.attenuate(self.token, Terms(LOOKING, until))
        await pd.store(report + TOKEN_SIZE, len(self.token))
        await pd.write(report + TOKEN, self.token)

    async def _count(self) -> int:
        start = count = 0
        while entries := await self.home.list(start):
            count += sum(entry.name.startswith("n") for entry in entries)
            start += len(entries)
        return count
