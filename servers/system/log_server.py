"""The log server: entries in memory for those who read, and in a file for those who come later.

Each channel is an author, by the name that the system's description gives it. A text is kept as it came; in the file it
is one line of printable characters, so whatever it contains, it does not look like another entry. If the file cannot be
written the log goes on in memory, and says in the file, when that works again, how many entries are missing there.

Warnings and errors last when they are acknowledged; the rest does from the next sign of life on that is asked for. With
memory that outlives it (``state``) the server can give way to another, which remembers the same entries.
"""

import re
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from attrs import define, field, frozen

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure, Malformed, QuotaExceeded, TooLarge
from capkernel.protocols.files import Directory, File
from capkernel.protocols.given import GivenCap, given_caps, restore_given
from capkernel.protocols.interface import Interface
from capkernel.protocols.log import MAX_TEXT, Level, Log, LogEntry, LogReader
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.channel_names import NAME, read_channel_names
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.neighbours import Asks, ByTable, Role, Serves, Uses
from servers.system.pages import close, open_or_create, read_all, write_all
from servers.system.rate import TICKS_PER_US, Rate
from servers.system.retiring import Handover, decline
from servers.text import visible

names: int = 0
names_size: int = 0x1000
state: int = 0
state_size: int = 0x4_0000

FILES, SUPERVISOR, WRITERS, READERS, UPDATE = 0, 1, range(2, 30), range(30, 40), 40
"""Channels; a writer's name is in the table ``log`` of ``names``."""
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
FILE_NAMES: Final = ("log.0", "log.1")
FILE_BYTES: Final = 1 << 16
"""When a file has grown to this the log goes on in the other one, of which nothing is left then."""
REMEMBERED: Final = 512
BURST, INTERVAL = 32, 10_000 * TICKS_PER_US
"""Entries that an author may write at once, and ticks until one more."""
MAX_DEPTH: Final = 4
"""Names that can be added to an author's."""
ANSWER_BYTES: Final = 800
SERVER: Final = "log"
"""The author of what the log says itself."""
_NUMBER = re.compile(rb"(\d{1,18}) ")


def line_of(entry: LogEntry) -> bytes:
    """An entry as it stands in the file: number, microseconds, level, author, text."""
    return f"{entry.number} {entry.time_us} {entry.level.name} {entry.author} {visible(entry.text)}\n".encode()


class LogFile:
    """The file, as far as it can be written."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.file: File | None = None
        self.which = 0
        self.size = 0
        self.missing = 0
        self.is_dirty = False

    async def open(self) -> int:
        """Find the file that was written last; the number of its last entry. Raises a failure."""
        await self.give_up()
        numbers = [await self._last_number(name) for name in FILE_NAMES]
        self.which = numbers.index(max(numbers))
        file = await open_or_create(self.directory, FILE_NAMES[self.which])
        content = await read_all(file)
        self.size = len(content)
        if content and not content.endswith(b"\n"):
            # The last line was torn by a crash; what follows is to be a line of its own.
            await write_all(file, self.size, b"\n")
            self.size += 1
        self.file = file
        return max(numbers)

    async def _last_number(self, name: str) -> int:
        file = await open_or_create(self.directory, name)
        found = [_NUMBER.match(line) for line in (await read_all(file)).splitlines()]
        await close(file)
        return max((int(each[1]) for each in found if each), default=0)

    async def append(self, entry: LogEntry) -> None:
        """Write an entry, or count it as missing."""
        data = line_of(entry)
        try:
            if self.file is None:
                await self.open()
            await self._write(data)
            if entry.level in (Level.WARNING, Level.ERROR):
                await self.sync()
        except Failure:
            await self.give_up()
            self.missing += 1

    async def give_up(self) -> None:
        """The file is to be found again."""
        if self.file is not None:
            await close(self.file)
            self.file = None

    async def sync(self) -> None:
        """Make what was written last. Raises a failure."""
        if self.is_dirty and self.file is not None:
            await self.file.sync()
            self.is_dirty = False

    async def _write(self, data: bytes) -> None:
        if self.size >= FILE_BYTES:
            await self._turn_over()
        if self.file is not None:
            self.is_dirty = True
            await write_all(self.file, self.size, data)
            self.size += len(data)

    async def _turn_over(self) -> None:
        """Go on in the other file."""
        await self.sync()
        await self.give_up()
        self.which = 1 - self.which
        file = await open_or_create(self.directory, FILE_NAMES[self.which])
        await file.resize(0)
        self.file, self.size = file, 0


@define(eq=False)
class Author:
    """Who writes; ``rate`` is shared by all whose names begin with this one's."""

    name: str
    rate: Rate
    depth: int = 0


@define(eq=False)
class Journal:
    """All entries, wherever they are."""

    pd: PD
    file: LogFile
    number: int = 0
    remembered: deque[LogEntry] = field(factory=lambda: deque(maxlen=REMEMBERED))

    async def append(self, author: Author, level: Level, text: str) -> int:
        """Write an entry, unless its author writes too much. Raises QuotaExceeded."""
        now = await self.pd.clock()
        if not author.rate.take(now):
            raise QuotaExceeded("too many entries in too short a time")
        refused, author.rate.refused = author.rate.refused, 0
        if refused:
            await self._add(SERVER, Level.WARNING, f"{refused} entries of {author.name} were refused: too many", now)
        return await self._add(author.name, level, text, now)

    async def say(self, text: str) -> None:
        """Write an entry of the log's own."""
        await self._add(SERVER, Level.WARNING, text, await self.pd.clock())

    async def _add(self, author: str, level: Level, text: str, now: int) -> int:
        missing, self.file.missing = self.file.missing, 0
        self.number += 1
        entry = LogEntry(self.number, now // TICKS_PER_US, level, author, text)
        self.remembered.append(entry)
        await self.file.append(entry)
        if self.file.missing:
            self.file.missing += missing
        elif missing:
            await self._add(SERVER, Level.WARNING, f"{missing} entries before this are missing here", now)
            return self.number - 1
        return self.number


class LogServant(Log):
    """The log, for one author."""

    def __init__(self, journal: Journal, author: Author) -> None:
        self.journal = journal
        self.author = author

    async def append(self, level: Level, text: str) -> int:
        """An entry."""
        if len(text.encode()) > MAX_TEXT:
            raise TooLarge(f"an entry has at most {MAX_TEXT} bytes, not {len(text.encode())}")
        return await self.journal.append(self.author, level, text)

    async def named(self, name: str) -> Log:
        """The log, for an author below this one."""
        if not NAME.fullmatch(name):
            raise Malformed("a name is 1 to 32 letters, digits, '-' and '_'")
        if self.author.depth >= MAX_DEPTH:
            raise QuotaExceeded(f"{self.author.name} has {MAX_DEPTH} names added already")
        return LogServant(self.journal, Author(f"{self.author.name}/{name}", self.author.rate, self.author.depth + 1))


class ReaderServant(LogReader):
    """The log, for one who may read it."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    async def tail(self, count: int) -> list[LogEntry]:
        """The last ones."""
        if count < 0:
            raise Malformed(f"a number of entries is 0 or more, not {count}")
        newest = list(self.journal.remembered)[::-1][:count]
        return _fitting(newest)[::-1]

    async def after(self, number: int) -> list[LogEntry]:
        """Those after a number."""
        return _fitting([entry for entry in self.journal.remembered if entry.number > number])


READER: Final = -1
"""In the place of a channel: a cap to read."""


@frozen
class KeptRate:
    """How much the author on a channel may still write."""

    channel: int
    rate: Rate


@frozen
class KeptAuthor:
    """To what a cap leads: the log for an author below the one on a channel, or for a reader."""

    channel: int
    names: list[str]


@frozen
class KeptLog:
    """For the next program. ``number`` is that of the last entry, ``missing`` how many are not in the file."""

    number: int
    missing: int
    entries: list[LogEntry]
    rates: list[KeptRate]
    objects: list[KeptAuthor]
    caps: list[GivenCap]


def keep_log(journal: Journal, authors: Mapping[int, Author], service: Service) -> KeptLog:
    """What is remembered, what everybody may still write, and what was given out."""
    servants, caps = given_caps(service)
    rates = [KeptRate(channel, author.rate) for channel, author in authors.items()]
    objects = [_kept(servant, authors) for servant in servants]
    return KeptLog(journal.number, journal.file.missing, list(journal.remembered), rates, objects, caps)


def _kept(servant: object, authors: Mapping[int, Author]) -> KeptAuthor:
    if isinstance(servant, ReaderServant):
        return KeptAuthor(READER, [])
    if not isinstance(servant, LogServant):
        raise TypeError(f"a log server gives out logs and readers, no {type(servant).__name__}")
    channel = next(number for number, author in authors.items() if author.rate is servant.author.rate)
    names = servant.author.name.removeprefix(authors[channel].name).split("/")[1:]
    return KeptAuthor(channel, names)


async def restore_log(kept: KeptLog, journal: Journal, authors: Mapping[int, Author], service: Service) -> None:
    """Go on from there. Raises ValueError or a failure if no former life can have written this down."""
    numbers = [entry.number for entry in kept.entries]
    if numbers != list(range(kept.number + 1 - len(numbers), kept.number + 1)) or min([1, *numbers]) < 1:
        raise ValueError("the entries are not numbered one after the other")
    if kept.missing < 0 or len(numbers) > REMEMBERED:
        raise ValueError("no log misses or remembers so many entries")
    for each in kept.rates:
        if each.channel in authors:
            authors[each.channel].rate.go_on_from(each.rate)
    objects = [await _restored(each, journal, authors) for each in kept.objects]
    journal.number = max(kept.number, journal.number)
    journal.file.missing = kept.missing
    journal.remembered.extend(kept.entries)
    restore_given(service, objects, kept.caps)


async def _restored(kept: KeptAuthor, journal: Journal, authors: Mapping[int, Author]) -> Interface:
    if kept.channel == READER:
        return ReaderServant(journal)
    if kept.channel not in authors:
        raise ValueError(f"nobody writes on channel {kept.channel}")
    log: Log = LogServant(journal, authors[kept.channel])
    for name in kept.names:
        log = await log.named(name)
    return log


def _fitting(entries: list[LogEntry]) -> list[LogEntry]:
    """The first of them, as many as fit into an answer."""
    room = ANSWER_BYTES
    fitting: list[LogEntry] = []
    for entry in entries:
        room -= len(entry.text.encode()) + len(entry.author) + 7 * 8
        if room < 0 and fitting:
            break
        fitting.append(entry)
    return fitting


def served(text: str) -> dict[int, Serves]:
    """Whom it serves, by channel, with this table of names. Raises ChannelNameError."""
    writers = [channel for channel in read_channel_names(text, "log") if channel in WRITERS]
    return dict.fromkeys(writers, Serves(Log)) | dict.fromkeys(READERS, Serves(LogReader))


class Program:
    """The server."""

    uses: ClassVar[Uses] = Uses(
        asks={BASE_ENDPOINT_CAP + FILES: Asks(Directory, to_change=True)},
        serves=ByTable("names", served),
        signals={SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        needs=frozenset({"names"}), holds=frozenset({ENDPOINT}),
    )

    def __init__(self) -> None:
        self.journal: Any = None
        self.service: Any = None
        self.handover: Any = None
        self.authors: dict[int, Author] = {}

    async def init(self, pd: PD) -> None:
        """Go on where the file ends, and serve."""
        found = read_channel_names((await pd.read(names, names_size)).rstrip(b"\0").decode(), "log")
        self.authors = {
            channel: Author(name, Rate(BURST, INTERVAL)) for channel, name in found.items() if channel in WRITERS
        }
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        directory = connect(Directory, Connection(pd.sys, inbox), BASE_ENDPOINT_CAP + FILES)
        self.journal = Journal(pd, LogFile(directory))
        try:
            self.journal.number = await self.journal.file.open()
        except Failure as failure:
            await pd.print(f"log: there is no file yet: {failure}\n")
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()
        if state:
            self.handover = Handover(pd, KeptLog, SharedRegion(state, state_size), SUPERVISOR, UPDATE)
            if await self.handover.go_on(self._take_up):
                return
        if pd.life > 1:
            await self.journal.say(f"the log server was started anew, life {pd.life}")

    async def _take_up(self, kept: KeptLog) -> None:
        await restore_log(kept, self.journal, self.authors, self.service)

    def _root(self, session: int) -> Interface | None:
        if session in READERS:
            return ReaderServant(self.journal)
        author = self.authors.get(session)
        return LogServant(self.journal, author) if author else None

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life, or another program in this one's place."""
        try:
            await self.journal.file.sync()
        except Failure:
            await self.journal.file.give_up()
        if ch != UPDATE:
            await pd.notify(SUPERVISOR)
        elif self.handover is None:
            await decline(pd, "there is no memory that outlives the entries")
        else:
            # The next program opens the file by itself; so does this one, should it have to go on.
            await self.journal.file.give_up()
            await self.handover.give_way(keep_log(self.journal, self.authors, self.service))

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
