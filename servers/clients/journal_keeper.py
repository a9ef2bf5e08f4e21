"""Works with files and numbers without a pause, so that a request that is lost or done twice shows.

Each round adds a record to a file at the end that the server says it has, syncs it, makes a name, gives it another,
removes an old one, and takes a ticket. A write that was lost leaves the file too short; one name cannot be made, moved
or removed twice; tickets tell how many were taken. The caps to file and directory are those of the first round, for
ever. Two more caps are tried again and again: one that may only read, and one that was given up.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure, Gone, NotPermitted
from capkernel.protocols.files import READ, READ_WRITE, Directory
from capkernel.protocols.tickets import Tickets
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD

FILES, TICKETS = 0, 1
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
ROUNDS, REQUESTS, FAILED, WRONG, WAYS_IN, TAKEN, LONGEST, DONE = range(0, 64, 8)
"""Offsets in the report: rounds; requests that were answered; those that failed; what was not as it should be; tries
that a cap should not have allowed; tickets; the longest wait for an answer, in ticks; 1 at the end.
"""
STOP = 0
"""Offset in the orders: 1 when it is time to end."""
RECORD, LEFT, PAUSE = 64, 4, 500
"""Bytes of a record; names that stay; ticks between two rounds."""


def record(name: str, number: int) -> bytes:
    """What is written in a round."""
    return f"{name} {number}".encode().ljust(RECORD, b".")


class Program:
    """The client."""

    report: int = 0
    orders: int = 0

    def __init__(self) -> None:
        self.counts = dict.fromkeys((ROUNDS, REQUESTS, FAILED, WRONG, WAYS_IN, TAKEN, LONGEST), 0)
        self.last_ticket = 0
        self.directory: Any = None
        self.journal: Any = None
        self.reader: Any = None
        self.former: Any = None

    async def init(self, pd: PD) -> None:
        """Work until it is time to end; then look whether everything is there once."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        tickets = connect(Tickets, Connection(pd.sys), BASE_ENDPOINT_CAP + TICKETS)
        await self._begin(pd, Connection(pd.sys, inbox))
        number = 0
        while not await pd.load(self.orders + STOP):
            await self._round(pd, number)
            await self._ticket(pd, tickets)
            await self._try(pd)
            number += 1
            self.counts[ROUNDS] = number
            await self._tell(pd)
            await pd.compute(PAUSE)
        await self._look(pd, number)
        await self._tell(pd)
        await pd.store(self.report + DONE, 1)

    async def _begin(self, pd: PD, connection: Connection) -> None:
        """Open what is used from now on."""
        root = connect(Directory, connection, BASE_ENDPOINT_CAP + FILES)
        self.directory = await root.make_directory(pd.name)
        self.journal = await self.directory.create("journal")
        self.reader = await self.directory.open("journal", READ)
        self.former = await self.directory.open("journal", READ_WRITE)
        # Given up at the server, as `drop` does it; the cap itself stays here.
        self.former.is_owned = False
        await self.former.drop()

    async def _try(self, pd: PD) -> None:
        """What must not be possible."""
        await self._must_fail(pd, lambda: self.reader.write(0, b"x"), NotPermitted)
        await self._must_fail(pd, lambda: self.former.read(0, 1), Gone)

    async def _round(self, pd: PD, number: int) -> None:
        directory, journal = self.directory, self.journal
        info = await self._ask(pd, journal.info)
        self._check(info is not None and info.size == number * RECORD)
        await self._ask(pd, lambda: journal.write(number * RECORD, record(pd.name, number)))
        await self._ask(pd, journal.sync)
        made = await self._ask(pd, lambda: directory.create(f"new {number}"))
        if made is not None:
            await self._ask(pd, made.drop)
        await self._ask(pd, lambda: directory.rename(f"new {number}", directory, f"old {number}"))
        if number >= LEFT:
            await self._ask(pd, lambda: directory.remove(f"old {number - LEFT}"))
        back = await self._ask(pd, lambda: journal.read(number * RECORD, RECORD))
        self._check(back == record(pd.name, number))

    async def _ticket(self, pd: PD, tickets: Tickets) -> None:
        ticket = await self._ask(pd, tickets.take)
        if ticket is not None:
            self._check(ticket > self.last_ticket)
            self.last_ticket = ticket
            self.counts[TAKEN] += 1

    async def _look(self, pd: PD, number: int) -> None:
        """Whether every record is there once, and every name that is to be."""
        for each in range(number):
            back = await self._ask(pd, partial(self.journal.read, each * RECORD, RECORD))
            self._check(back == record(pd.name, each))
        names = {f"old {each}" for each in range(max(0, number - LEFT), number)} | {"journal"}
        found = await self._ask(pd, lambda: self.directory.list(0))
        self._check(found is not None and {entry.name for entry in found} == names)

    async def _ask(self, pd: PD, work: Callable[[], Awaitable[Any]]) -> Any:
        """One request; None if it failed."""
        start = await pd.clock()
        try:
            result = await work()
        except Failure as failure:
            self.counts[FAILED] += 1
            await pd.print(f"{pd.name}: {type(failure).__name__}: {failure}\n")
            result = None
        self.counts[REQUESTS] += 1
        self.counts[LONGEST] = max(self.counts[LONGEST], await pd.clock() - start)
        return result

    async def _must_fail(self, pd: PD, work: Callable[[], Awaitable[Any]], kind: type[Failure]) -> None:
        try:
            await work()
        except kind:
            return
        except Failure as failure:
            await pd.print(f"{pd.name}: {type(failure).__name__}: {failure}\n")
        self.counts[WAYS_IN] += 1

    def _check(self, is_so: bool) -> None:
        self.counts[WRONG] += not is_so

    async def _tell(self, pd: PD) -> None:
        for place, count in self.counts.items():
            await pd.store(self.report + place, count)
