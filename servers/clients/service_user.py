"""Uses many servers without a pause while they are replaced, so that a request that is lost or done twice shows.

Each round writes a numbered line to the console, sleeps, asks for time and entropy, binds and unbinds a name, takes and
returns a page, adds to a file, and starts a process that reads one; some write entries and records, whose numbers are
to follow those before. Caps that were given out in the first round are used for ever: to a log under another name, to
some of the names, to memory, to a file, to a process that computes all the time. Two more are tried again and again:
one that may only read, and one that was given up.
"""

from functools import partial
from typing import Any

from capkernel.protocols.audit import Audit, AuditReader
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.clocks import RealTimeClock, Timer
from capkernel.protocols.console import Console
from capkernel.protocols.entropy import Entropy
from capkernel.protocols.failures import Gone, NotPermitted
from capkernel.protocols.files import READ, Directory, File
from capkernel.protocols.interface import Cap
from capkernel.protocols.log import Level, Log, LogReader
from capkernel.protocols.memory import PAGE, Account, Use
from capkernel.protocols.names import NameSpace
from capkernel.protocols.processes import Launcher, State, Status
from capkernel.protocols.spawn import ending, prepared, spawn
from capkernel.protocols.usage import Usage
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from servers.clients.journal_keeper import TAKEN
from servers.clients.journal_keeper import Program as Keeper

FILES, CONSOLE = 0, 1
TIMER, CLOCK, ENTROPY, LOG, LOG_READER, AUDIT, AUDIT_READER, MEMORY, USAGE, PROCESSES = range(3, 13)
"""Channels."""
NAMES = 310
"""The cap to the names, through which caps can be handed over."""
SLEEP_US = 200
SELDOM = 8
"""Rounds until the next entries and records, of which nobody may write many."""
NAME = "files"
FOR_EVER, FOR_A_ROUND = 1, 2
"""Numbers of memory in the account."""
TEXT = b"what a process reads"
NAMES_OF_FILES = {"journal", "reader", "sleeper", "text"}


class Program(Keeper):
    """The client."""

    def __init__(self) -> None:
        super().__init__()
        self.use: dict[str, Any] = {}
        """Servers, and caps that they gave out, by name."""
        self.entry = self.recorded = self.us = self.ns = self.consumed = self.process = self.cpu_us = 0
        self.drawn = b""

    async def _begin(self, pd: PD, connection: Connection) -> None:
        def at(interface: Any, channel: int) -> Any:
            return connect(interface, connection, BASE_ENDPOINT_CAP + channel)

        interfaces = {
            "console": (Console, CONSOLE), "timer": (Timer, TIMER), "clock": (RealTimeClock, CLOCK),
            "entropy": (Entropy, ENTROPY), "log": (Log, LOG), "log reader": (LogReader, LOG_READER),
            "audit": (Audit, AUDIT), "audit reader": (AuditReader, AUDIT_READER), "account": (Account, MEMORY),
            "usage": (Usage, USAGE), "launcher": (Launcher, PROCESSES),
        }  # fmt: skip
        self.use = {name: at(*wanted) for name, wanted in interfaces.items()}
        names: Any = connect(NameSpace, connection, NAMES)
        await names.bind(NAME, Cap(BASE_ENDPOINT_CAP + FILES))
        self.use["names"] = names
        self.use["view"] = await names.restrict([NAME], False)
        self.use["fork"] = await names.fork([NAME])
        self.use["log below"] = await self.use["log"].named("below")
        self.use["memory"] = await self.use["account"].allocate(FOR_EVER, 2 * PAGE, Use.FRAMES)
        self.use["audit again"] = await self.use["audit"].derive()
        self.former = await self.use["log"].named("former")
        self.former.is_owned = False
        await self.former.drop()
        files = at(Directory, FILES)
        self.journal = await files.create("journal")
        self.use["reader"] = await _written(files, "reader", b"#!capkernel reader\n")
        self.use["text"] = await _written(files, "text", TEXT)
        sleeper = await _written(files, "sleeper", b"#!capkernel sleeper\n")
        self.use["sleeper"] = await spawn(self.use["launcher"], sleeper, ["for ever"])
        self.process = (await self.use["sleeper"].info()).number
        self.entry = await self.use["log"].append(Level.INFO, "begin")
        self.recorded = await self.use["audit"].record(["begin"])

    async def _round(self, pd: PD, number: int) -> None:
        await self._ask(pd, lambda: self.use["console"].write(f"line {number};"))
        await self._times(pd)
        if number % SELDOM == 0:
            await self._numbers(pd, number)
        await self._named(pd, number)
        await self._memory(pd)
        await self._processes(pd)
        await self._ask(pd, lambda: self.journal.write(8 * number, number.to_bytes(8, "little")))
        found = await self._ask(pd, self.journal.info)
        self._check(found is not None and found.size == 8 * (number + 1))

    async def _times(self, pd: PD) -> None:
        before = await self._ask(pd, self.use["timer"].now)
        await self._ask(pd, lambda: self.use["timer"].sleep(SLEEP_US))
        after = await self._ask(pd, self.use["timer"].now)
        now = await self._ask(pd, self.use["clock"].now)
        drawn = await self._ask(pd, lambda: self.use["entropy"].read(16))
        if None not in (before, after, now, drawn):
            self._check(after >= before + SLEEP_US and before >= self.us and now > self.ns and drawn != self.drawn)
            self.us, self.ns, self.drawn = after, now, drawn
        usage = await self._ask(pd, self.use["usage"].consumed)
        consumed = sum(each.us for each in usage or ())
        self._check(consumed > self.consumed)
        self.consumed = consumed

    async def _numbers(self, pd: PD, number: int) -> None:
        """An entry and a record of each cap; nobody else writes, so their numbers follow one another."""
        for log in ("log", "log below"):
            entry = await self._ask(pd, partial(self.use[log].append, Level.INFO, f"{log} {number}"))
            self._check(entry == self.entry + 1)
            self.entry = entry or self.entry
        found = await self._ask(pd, lambda: self.use["log reader"].after(self.entry - 2))
        texts = [(each.author, each.text) for each in found or ()]
        self._check(texts == [("client", f"log {number}"), ("client/below", f"log below {number}")])
        for audit in ("audit", "audit again"):
            record = await self._ask(pd, partial(self.use[audit].record, [f"{audit} {number}"]))
            self._check(record == self.recorded + 1)
            self.recorded = record or self.recorded
        info = await self._ask(pd, self.use["audit reader"].info)
        self._check(info is not None and info.number == self.recorded)

    async def _named(self, pd: PD, number: int) -> None:
        names, view, fork = self.use["names"], self.use["view"], self.use["fork"]
        await self._ask(pd, lambda: names.bind(f"new {number}", Cap(BASE_ENDPOINT_CAP + CONSOLE)))
        listed = await self._ask(pd, lambda: names.names(0))
        self._check(listed is not None and {each.name for each in listed} == {NAME, f"new {number}"})
        await self._ask(pd, lambda: names.unbind(f"new {number}"))
        for space in (view, fork):
            cap = await self._ask(pd, partial(space.lookup, NAME))
            self._check(cap is not None)
            if cap is not None:
                found: Any = connect(Directory, self.journal.connection, cap, is_owned=True)
                listing = await self._ask(pd, partial(found.list, 0))
                self._check(listing is not None and {each.name for each in listing} == NAMES_OF_FILES)
                await found.connection.inbox.discard(cap)

    async def _memory(self, pd: PD) -> None:
        page = await self._ask(pd, lambda: self.use["account"].allocate(FOR_A_ROUND, PAGE, Use.OBJECTS))
        info = await self._ask(pd, self.use["account"].info)
        self._check(info is not None and info.used == 3 * PAGE)
        if page is not None:
            await self._ask(pd, lambda: self.use["account"].release(FOR_A_ROUND))
            await page.forget()
        self._check(await self._ask(pd, self.use["memory"].size) == 2 * PAGE)

    async def _processes(self, pd: PD) -> None:
        """One more process, with just a file to read; the first one goes on. Before it is started there is time for a
        replacement. Who waits when the server is replaced is told so, and asks again.
        """
        launcher = self.use["launcher"]
        limited = await self._ask(pd, lambda: self.use["text"].restrict(READ))
        lent = await self._ask(pd, limited.derive)
        child = await self._ask(pd, lambda: prepared(launcher, self.use["reader"], {"input": lent}))
        await lent.forget()
        if child is not None:
            await self._ask(pd, lambda: self.use["timer"].sleep(SLEEP_US))
            await self._ask(pd, lambda: child.start(["once"], 0))
            status = await self._ask(pd, lambda: ending(child))
            self._check(status == Status(State.EXITED, len(TEXT)))
            await self._ask(pd, child.drop)
        await self._ask(pd, limited.revoke)
        await self._ask(pd, limited.drop)
        found = await self._ask(pd, lambda: launcher.processes(0))
        self._check([each.number for each in found or ()] == [self.process])
        info = await self._ask(pd, self.use["sleeper"].info)
        self._check(info is not None and info.state is State.RUNNING and info.cpu_us >= self.cpu_us)
        self.cpu_us = info.cpu_us if info else self.cpu_us

    async def _ticket(self, pd: PD, tickets: Any) -> None:
        """Its tickets are the numbers of records."""
        self.counts[TAKEN] += 1

    async def _try(self, pd: PD) -> None:
        await self._must_fail(pd, lambda: self.use["view"].unbind(NAME), NotPermitted)
        await self._must_fail(pd, lambda: self.former.append(Level.INFO, "from the dead"), Gone)

    async def _look(self, pd: PD, number: int) -> None:
        self._check(self.cpu_us > 0)
        ended = await self._ask(pd, self.use["sleeper"].kill)
        quota = await self._ask(pd, self.use["launcher"].quota)
        self._check(ended == Status(State.KILLED) and quota is not None and not quota.memory_taken)
        for each in range(number):
            back = await self._ask(pd, partial(self.journal.read, 8 * each, 8))
            self._check(back == each.to_bytes(8, "little"))


async def _written(files: Directory, name: str, content: bytes) -> File:
    """A new file."""
    file = await files.create(name)
    await file.write(0, content)
    return file
