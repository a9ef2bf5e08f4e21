"""Uses every server of the console system, writes down how far it got, and then answers what is typed.

A server that dies in the middle of a request is asked again; how often that was, and what failed otherwise, is
reported. What it writes to the console is numbered, so that whoever looks there sees what is missing.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from capkernel.protocols.audit import Audit, AuditReader
from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.clocks import RealTimeClock, Timer
from capkernel.protocols.console import Console, ConsoleInput, Ending
from capkernel.protocols.entropy import Entropy
from capkernel.protocols.failures import Failure, Gone, NotFound, ServerDied
from capkernel.protocols.files import READ_WRITE, Directory
from capkernel.protocols.interface import Cap
from capkernel.protocols.log import Level, Log, LogReader
from capkernel.protocols.names import Endowed, NameSpace
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion

region: int = 0
region_size: int = 0x1_0000
report: int = 0

FILES, CONSOLE, KEYS, TIMER, CLOCK, ENTROPY, LOG, LOG_READER, AUDIT, AUDIT_READER = range(10)
"""Channels; the timer signals its own."""
NAMES, GUEST = 310, 311
"""Caps that take others along."""
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
STEPS, ERRORS, DEATHS, ACKNOWLEDGED, ALARMS, LINES = 0, 8, 16, 24, 32, 40
"""Offsets of the words in the report: steps that are done; requests that failed; servers that died before they
answered; the number of the last record that the audit server acknowledged; signals of the timer; lines written.
"""
ALL_STEPS = 8
TRIES = 20
TEXT_LINES = 12
T = TypeVar("T")


class Program:
    """The client."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys((STEPS, ERRORS, DEATHS, ACKNOWLEDGED, ALARMS, LINES), 0)
        self.pd: Any = None
        self.connection: Any = None

    async def init(self, pd: PD) -> None:
        """Each step, whatever became of the one before; then what is typed."""
        self.pd, self.connection = pd, Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        steps = (self._time, self._random, self._log, self._audit, self._file, self._names, self._text, self._verify)
        for step in steps:
            try:
                await step()
            except Failure as failure:
                await self._count(ERRORS)
                await self._say(f"{step.__name__}: {type(failure).__name__}: {failure}")
            await self._count(STEPS)
        await self._answer()

    async def notified(self, pd: PD, ch: int) -> None:
        """The timer's alarm, or a ^C."""
        if ch == TIMER:
            await self._count(ALARMS)

    def _server(self, interface: Any, channel: int) -> Any:
        return connect(interface, self.connection, BASE_ENDPOINT_CAP + channel)

    async def _count(self, what: int, more: int = 1) -> None:
        self.counts[what] += more
        await self.pd.store(report + what, self.counts[what])

    async def _ask(self, request: Callable[[], Awaitable[T]]) -> T:
        """Ask, and ask again if the server died meanwhile. Raises failures."""
        for _ in range(TRIES):
            try:
                return await request()
            except ServerDied:
                await self._count(DEATHS)
        return await request()

    async def _say(self, text: str) -> None:
        console = self._server(Console, CONSOLE)
        await self._ask(lambda: console.write(text))
        await self._count(LINES)

    async def _time(self) -> None:
        timer, clock = self._server(Timer, TIMER), self._server(RealTimeClock, CLOCK)
        before = await self._ask(timer.now)
        await self._ask(lambda: timer.alarm(100, 0))
        await self._ask(lambda: timer.sleep(500))
        after = await self._ask(timer.now)
        seconds = await self._ask(clock.now) // 10**9
        await self._say(f"time: slept {'500 us' if after - before >= 500 else 'too short'}; {seconds} s since 1970")

    async def _random(self) -> None:
        entropy = self._server(Entropy, ENTROPY)
        data = await self._ask(lambda: entropy.read(16))
        await self._say(f"entropy: {data.hex()}")

    async def _log(self) -> None:
        log, reader = self._server(Log, LOG), self._server(LogReader, LOG_READER)
        number = await self._ask(lambda: log.append(Level.WARNING, "a line\nthat tries to be two"))
        entries = await self._ask(lambda: reader.tail(1))
        await self._say(f"log: {entries[0].author} wrote entry {number}: {entries[0].text!r}")

    async def _audit(self) -> None:
        audit = self._server(Audit, AUDIT)
        for number in range(3):
            texts = [f"event {number}", f"event {number} again"]
            last = await self._ask(partial(audit.record, texts))
            await self._count(ACKNOWLEDGED, last - self.counts[ACKNOWLEDGED])
        await self._say(f"audit: record {last} is acknowledged")

    async def _file(self) -> None:
        connection = Connection(self.pd.sys, self.connection.inbox, SharedRegion(region, region_size))
        home: Any = connect(Directory, connection, BASE_ENDPOINT_CAP + FILES)
        content = bytes(range(256)) * 8
        try:
            file = await self._ask(lambda: home.open("notes", READ_WRITE))
        except NotFound:
            file = await self._ask(lambda: home.create("notes"))
        await self._ask(lambda: file.write(0, content))
        await self._ask(file.sync)
        is_same = await self._ask(lambda: file.read(0, len(content))) == content
        await file.drop()
        names = [entry.name for entry in await self._ask(lambda: home.list(0))]
        await self._say(f"files: {'the same' if is_same else 'not'} what was written; at home there is {names}")

    async def _names(self) -> None:
        mine: Any = connect(NameSpace, self.connection, NAMES)
        guest: Any = connect(Endowed, self.connection, GUEST)
        log: Any = self._server(Log, LOG)
        guests_log = await self._ask(lambda: log.named("guest"))
        await self._ask(lambda: mine.bind("log", Cap(guests_log.cap)))
        await self._ask(lambda: mine.bind("files", Cap(BASE_ENDPOINT_CAP + FILES)))
        gift = await self._ask(lambda: mine.restrict(["log"], False))
        said = await guest.endow(gift)
        await self._say(f"names: the guest {said}")
        await gift.drop()
        await self._check_that_it_is_gone(guest, guests_log, mine)

    async def _check_that_it_is_gone(self, guest: Any, guests_log: Any, mine: Any) -> None:
        """What was given is taken back: the guest's name space is closed, its cap to the log dropped."""
        await guests_log.drop()
        rest = await self._ask(lambda: mine.restrict(["log"], False))
        try:
            said = await guest.endow(rest)
        except Gone:
            said = "finds nothing any more"
        await self._say(f"names: the guest {said}")
        if isinstance(rest, Stub):
            await rest.drop()

    async def _text(self) -> None:
        for number in range(TEXT_LINES):
            await self._say(f"text {number}: " + "=" * 40)

    async def _verify(self) -> None:
        """What there is to be verified from outside."""
        reader = self._server(AuditReader, AUDIT_READER)
        key = await self._ask(reader.public_key)
        info = await self._ask(reader.info)
        await self._say(f"audit: key {key.hex()}, {info.number} records, {info.size} bytes")

    async def _answer(self) -> None:
        """Say again what is typed, until the end of the input."""
        keys = self._server(ConsoleInput, KEYS)
        while True:
            line = await self._ask(lambda: keys.read_line("> "))
            if line.ending is Ending.END_OF_INPUT:
                await self._say("bye")
                return
            await self._say("interrupted" if line.ending is Ending.INTERRUPTED else f"you typed: {line.text}")
