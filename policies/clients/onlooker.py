"""May look at what others keep, and would like to change it: an attacker of membranes that are read-only."""

from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.files import READ_WRITE, Directory, Kind
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD

report: int = 0

OWN_CNODE, HOME, FIRST_SLOT, END_SLOT = 301, 310, 330, 500
DONE, LOOKED, TRIES, CHANGED = range(4)
"""Words of the report: the end; files that it has read; tries to change something; those that worked."""
PAUSE, ROUNDS = 10_000, 6


class Program:
    """The attacker."""

    async def init(self, pd: PD) -> None:
        """Walk through all that there is, and try to change it."""
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        self.words = [0] * 4
        home: Any = connect(Directory, connection, HOME)
        for _ in range(ROUNDS):
            with suppress(Failure):
                await self._walk(home)
            await pd.compute(PAUSE)
        self.words[DONE] = 1
        for place, word in enumerate(self.words):
            await pd.store(report + 8 * place, word)

    async def _walk(self, directory: Any) -> None:
        await self._try(directory.create("graffiti"))
        await self._try(directory.rename("graffiti", directory, "x"))
        await self._try(directory.remove("x"))
        for entry in await directory.list(0):
            if entry.kind is Kind.DIRECTORY:
                below = await directory.directory(entry.name, READ_WRITE)
                await self._walk(below)
                await below.drop()
                continue
            file = await directory.open(entry.name, READ_WRITE)
            self.words[LOOKED] += await file.read(0, 4) is not None
            again = await file.restrict(READ_WRITE)
            for each in (file, again):
                await self._try(each.write(0, b"graffiti"))
                await self._try(each.resize(0))
                await each.drop()

    async def _try(self, attempt: Awaitable[Any]) -> None:
        self.words[TRIES] += 1
        try:
            await attempt
        except Failure:
            return
        self.words[CHANGED] += 1

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
