"""The shell's program: a prompt, a line, a command, for ever."""

import shlex
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final

from attrs import frozen

from capkernel.protocols.audit import Audit, AuditReader
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.clocks import RealTimeClock, Timer
from capkernel.protocols.console import INTERRUPT_KEY, Console, ConsoleInput, Ending, Line
from capkernel.protocols.entropy import Entropy
from capkernel.protocols.failures import (
    Busy,
    DeviceError,
    Failure,
    Gone,
    Malformed,
    NoSpace,
    NotPermitted,
    QuotaExceeded,
    ServerDied,
    TooLarge,
)
from capkernel.protocols.files import Kind
from capkernel.protocols.interface import Cap
from capkernel.protocols.log import Level, Log, LogReader
from capkernel.protocols.memory import Account
from capkernel.protocols.mounts import Mounts
from capkernel.protocols.names import NameSpace
from capkernel.protocols.network import Network
from capkernel.protocols.paging import Pager
from capkernel.protocols.processes import Launcher
from capkernel.protocols.supervision import Supervision
from capkernel.protocols.usage import Usage
from capkernel.user.allocators import OutOfSlots, SlotAllocator
from capkernel.user.codec import MessageError
from capkernel.user.loop import BASE_ENDPOINT_CAP, INPUT_CAP, PD, REPLY_CAP
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.neighbours import Asks, Uses
from servers.shell import commands, process_commands
from servers.shell import system_commands as system_commands
from servers.shell.commands import COMMANDS, describe, end_of
from servers.shell.described import Description
from servers.shell.editor import Editor, Outcome
from servers.shell.gifts import KEYS, Gift, Giver
from servers.shell.jobs import Job, Jobs
from servers.shell.paths import Paths
from servers.shell.trail import OwnCap, Refusal, TracedInbox, Trail, story
from servers.system.complaints import Complain, complaints_of

status: int = 0
services_region: int = 0
description: int = 0
description_size: int = 0x8000

CONSOLE, INPUT, COMPLAINTS, SUPERVISOR, TIMER, NETWORK, LAUNCHER, MEMORY, LOG, LOG_READER = range(10)
AUDIT, AUDIT_READER, CLOCK, ENTROPY, PAGER, USAGE = range(10, 16)
"""Channels."""
JOBS: Final = 20
"""The bit of our own notification that says that a job has ended."""
ROOT, NAMES = 310, 311
"""Slots of caps to the root directory and the name space. They are no channels: through one no cap is handed over."""
NOTIFICATION, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 320, 510
ENDED, ASKED = 0, 8
"""Offsets of words: the shell was left; how many lines were asked for, with the number of this life above them."""
LIFE_SHIFT: Final = 32
WRITE_LIMIT = 800
"""Bytes of text that are put out at a time: what fits into a message."""
PROMPT_LIMIT: Final = 40
"""Characters of the path in a prompt."""
PATIENCE_US: Final = 50_000
"""After so long it is looked whether a job still runs: whoever would signal its end may have died."""
CONSOLE_TRIES: Final = 3
"""How often a console may fail a request until it is complained of, and then once more."""
BUSY_US: Final = 2_000
"""Until a console that was busy is asked again."""
SERVICES_SIZE: Final = 0x1000
TRIES: Final = 10
LINE_LIMIT: Final = 400
"""Bytes of a line in the log or the audit trail."""
OF_JOBS: Final = ("kill", "wait", "caps", "grant", "revoke", "why")
OF_SERVICES: Final = ("kill", "caps")
NEEDS_AUTHORITY: Final = (NotPermitted, QuotaExceeded, Gone)
"""Failures that somebody's authority would mend."""
OWN: Final = {
    BASE_ENDPOINT_CAP + CONSOLE: OwnCap("the terminal", "console"),
    BASE_ENDPOINT_CAP + INPUT: OwnCap("the terminal's keys", "console"),
    BASE_ENDPOINT_CAP + COMPLAINTS: OwnCap("the supervisor, to complain of the console", "supervisor"),
    BASE_ENDPOINT_CAP + SUPERVISOR: OwnCap("the supervisor, to restart services", "supervisor"),
    BASE_ENDPOINT_CAP + TIMER: OwnCap("the timer", "timer"),
    BASE_ENDPOINT_CAP + NETWORK: OwnCap("the whole network", "network"),
    BASE_ENDPOINT_CAP + LAUNCHER: OwnCap("the shell's launcher", "processes"),
    BASE_ENDPOINT_CAP + MEMORY: OwnCap("the shell's account of memory", "memory"),
    BASE_ENDPOINT_CAP + LOG: OwnCap("the log, to write as the shell", "log"),
    BASE_ENDPOINT_CAP + LOG_READER: OwnCap("the log, to read", "log"),
    BASE_ENDPOINT_CAP + AUDIT: OwnCap("the audit trail, to write as the shell", "audit"),
    BASE_ENDPOINT_CAP + AUDIT_READER: OwnCap("the audit trail, to read", "audit"),
    BASE_ENDPOINT_CAP + CLOCK: OwnCap("the clock, to read", "rtc"),
    BASE_ENDPOINT_CAP + ENTROPY: OwnCap("entropy", "entropy"),
    BASE_ENDPOINT_CAP + PAGER: OwnCap("the pager", "pager"),
    BASE_ENDPOINT_CAP + USAGE: OwnCap("the usage of processor time", "usage"),
    ROOT: OwnCap("the root directory, to read and write", "mounts"),
    NAMES: OwnCap("the shell's name space", "names"),
}  # fmt: skip


@frozen
class Places:
    """Addresses: where the end is reported, memory shared with the supervisor, the description and its size."""

    status: int
    services: int
    description: int
    description_size: int


_ASKS: Final = {
    CONSOLE: Asks(Console), INPUT: Asks(ConsoleInput), COMPLAINTS: Asks(Supervision, optional=True),
    SUPERVISOR: Asks(Supervision), TIMER: Asks(Timer), NETWORK: Asks(Network, optional=True), LAUNCHER: Asks(Launcher),
    MEMORY: Asks(Account), LOG: Asks(Log), LOG_READER: Asks(LogReader), AUDIT: Asks(Audit),
    AUDIT_READER: Asks(AuditReader), CLOCK: Asks(RealTimeClock), ENTROPY: Asks(Entropy), PAGER: Asks(Pager),
    USAGE: Asks(Usage),
}  # fmt: skip
"""What the shell asks, by channel."""


class Program:
    """The shell for a terminal: lines are edited key by key, with history and completion."""

    uses: ClassVar[Uses] = Uses(
        asks={BASE_ENDPOINT_CAP + channel: asks for channel, asks in _ASKS.items()}
        | {ROOT: Asks(Mounts), NAMES: Asks(NameSpace)},
        needs=frozenset({"status", "description"}), shares=frozenset({"services_region"}),
    )

    def __init__(self) -> None:
        self.editor = Editor()
        self.refused: tuple[str, Failure, Refusal | None] | None = None
        self.faulted: Job | None = None
        """A process that came to grief after the last refusal."""
        self.is_left = False
        self.ahead = ""
        self.asked = 0
        self.pd: Any = None
        self.trail: Any = None
        self.inbox: Any = None
        self.paths: Any = None
        self.root: Any = None
        self.supervision: Any = None
        self.timer: Any = None
        self.network: Network | None = None
        self.console: Any = None
        self.complain: Complain | None = None
        self.input: Any = None
        self.jobs: Any = None
        self.giver: Any = None
        self.pager: Any = None
        self.usage: Any = None
        self.clock: Any = None
        self.entropy: Any = None
        self.log_writer: Any = None
        self.log_reader: Any = None
        self.audit: Any = None
        self.audit_reader: Any = None
        self.names: Any = None
        self.bound: dict[str, Gift] = {}
        self.account: Any = None
        self.description: Any = None

    @property
    def places(self) -> Places:
        """What the loader has set: each program has variables of its own."""
        return Places(status, services_region, description, description_size)

    @property
    def history(self) -> list[str]:
        """What was typed."""
        return self.editor.history

    async def init(self, pd: PD) -> None:
        """Connect, and go on until the end."""
        self.pd, self.trail = pd, Trail(pd.sys)
        self.inbox = TracedInbox(self.trail, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self._connect(pd)
        if pd.life > 1:
            await self._tidy()
        text = (await pd.read(self.places.description, self.places.description_size)).rstrip(b"\0").decode()
        self.description = Description(text)
        await self.say("capkernel: `help` lists the commands, `exit` leaves")
        while not self.is_left:
            await self._turn()
        await pd.store(self.places.status + ENDED, 1)

    def _connect(self, pd: PD) -> None:
        plain = Connection(self.trail, self.inbox)

        def at(interface: Any, channel: int) -> Any:
            return connect(interface, plain, BASE_ENDPOINT_CAP + channel)

        self.console, self.input, self.timer = at(Console, CONSOLE), at(ConsoleInput, INPUT), at(Timer, TIMER)
        self.network = at(Network, NETWORK) if pd.values.pps >> NETWORK & 1 else None
        self.pager, self.usage = at(Pager, PAGER), at(Usage, USAGE)
        self.clock, self.entropy = at(RealTimeClock, CLOCK), at(Entropy, ENTROPY)
        self.log_writer, self.log_reader = at(Log, LOG), at(LogReader, LOG_READER)
        self.audit, self.audit_reader = at(Audit, AUDIT), at(AuditReader, AUDIT_READER)
        shared = Connection(self.trail, self.inbox, SharedRegion(self.places.services, SERVICES_SIZE))
        self.supervision = connect(Supervision, shared, BASE_ENDPOINT_CAP + SUPERVISOR)
        self.complain = complaints_of(pd, COMPLAINTS, 0)
        self.root, self.names = connect(Mounts, plain, ROOT), connect(NameSpace, plain, NAMES)
        self.paths = Paths(self.root)
        self.account = at(Account, MEMORY)
        self.jobs = Jobs(at(Launcher, LAUNCHER))
        things = {
            "console": self.console, "keys": self.input, "log": self.log_writer, "network": self.network,
            "memory": self.account, "names": self.names,
        }  # fmt: skip
        self.giver = Giver(self.paths, things, lambda host: commands.address_of(commands.network_of(self), host))

    async def _tidy(self) -> None:
        """What a former life of this program has opened and started is of no use to anybody."""
        for each in (self.jobs.launcher, self.account, self.root, self.console, self.log_writer, self.network):
            if each is not None:
                with suppress(Failure):
                    await each.revoke()
        with suppress(Failure):
            await self.account.clear()

    async def notified(self, pd: PD, ch: int) -> None:
        """Never called: this program waits for news by itself."""

    async def _turn(self) -> None:
        await self._settle()
        line = await self.read(_prompt(self.paths.here))
        if line is None:
            self.leave()
            return
        self.trail.refusals.clear()
        try:
            await self._obey(line)
        except Failure as failure:
            await self._refuse(line, failure)

    async def _obey(self, line: str) -> None:
        """Do what a line says. Raises failures."""
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise Malformed(f"this line cannot be read: {error}") from None
        try:
            if words:
                await commands.run(self, words)
        except MessageError as error:
            raise TooLarge(f"nothing was asked: {error}") from None
        except OutOfSlots as error:
            raise NoSpace(f"the shell can hold no more caps; end some processes: {error}") from None

    async def _settle(self) -> None:
        """Report the jobs that have ended meanwhile. Each is asked: who would signal its end may have died."""
        await self._forget_news()
        await process_commands.settle(self)

    async def _refuse(self, line: str, failure: Failure) -> None:
        self.refused, self.faulted = (line, failure, self.trail.refusal(failure)), None
        await self.say(describe(failure))

    # Jobs

    async def watch(self, job: Job) -> None:
        """Hear of the end of a job; the cap for it is ours only as long as it is being sent."""
        async with self.inbox.lent_signal(NOTIFICATION, JOBS) as signal:
            await job.process.watch(Cap(signal))

    async def attend(self, job: Job, *, is_killed: bool = True) -> None:
        """Wait for the end of a job."""
        while not await self.jobs.look(job):
            with suppress(Failure):
                await self.timer.alarm(PATIENCE_US, 0)
            news = await self._news()
            if not news >> INPUT & 1:
                continue
            if is_killed:
                await self.jobs.kill(job)
            if all(gift.what != KEYS for gift in job.gifts.values()):
                # Otherwise the program may have read the key.
                await self._forget_interrupt()
            if not is_killed:
                await self.say(f"[{job.number}] {job.name} goes on")
                return
        await process_commands.report(self, job)

    async def _news(self) -> int:
        """Wait until somebody signals; who did."""
        message: Message = await self.pd.sys.recv(INPUT_CAP, REPLY_CAP)
        return message.badge

    async def _forget_news(self) -> None:
        """What was signalled until now is of no interest any more."""
        await self.pd.sys.nbrecv(INPUT_CAP, REPLY_CAP)

    async def _forget_interrupt(self) -> None:
        """The interrupt key has done its work; it and what was typed before it are taken out of what was typed."""
        typed = self.ahead if INTERRUPT_KEY in self.ahead else await self._keys()
        self.ahead = typed.rpartition(INTERRUPT_KEY)[2]
        await self._draw("^C\n")

    # What others are told

    async def log(self, text: str) -> None:
        """Put a line into the log."""
        await self._surely(lambda: self.log_writer.append(Level.WARNING, _cut(text)))

    async def record(self, text: str) -> None:
        """Put a line into the audit trail."""
        await self._surely(lambda: self.audit.record([_cut(text)]))

    async def _surely(self, say: Callable[[], Awaitable[Any]]) -> None:
        """Say it again if the server died meanwhile. If it cannot be written down that is shown, and ends nothing: on a
        full disk, too, something must be able to be killed.
        """
        for _ in range(TRIES):
            try:
                await say()
            except ServerDied:
                continue
            except Failure as failure:
                await self.say(f"this could not be written down: {describe(failure)}")
            return
        await self.say("what was done could not be written down: the server for it dies again and again")

    async def say(self, text: str) -> None:
        """Put out lines, a part at a time; what a console did not put out before it died is put out again."""
        lines, part = text.rstrip("\n").split("\n"), ""
        for line in lines:
            for piece in _pieces(line):
                if part and len((part + piece).encode()) >= WRITE_LIMIT:
                    await self._put_out(part)
                    part = ""
                part += piece + "\n"
        await self._put_out(part)

    async def _put_out(self, text: str) -> None:
        await self._patiently(lambda: self.console.write(text))

    async def _patiently(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Ask the console until it answers: again if it died meanwhile, later if others keep it busy. One that fails
        is complained of. Raises DeviceError if that is of no avail.
        """
        tries, complain = CONSOLE_TRIES, self.complain
        while True:
            try:
                return await ask()
            except ServerDied:
                continue
            except Busy:
                with suppress(Failure):
                    await self.timer.sleep(BUSY_US)
            except DeviceError:
                tries -= 1
                if tries:
                    continue
                if complain is None or not await complain():
                    raise
                tries, complain = CONSOLE_TRIES, None

    async def why(self) -> list[str]:
        """Why the last command was refused, or a process came to grief, whatever was last."""
        if self.faulted is not None:
            return end_of(self.faulted)
        if self.refused is None:
            return ["nothing was refused yet"]
        line, failure, refusal = self.refused
        if refusal is None:
            return [f"`{line}` was refused by the shell itself, before anybody was asked.", describe(failure)]
        lines = [f"`{line}` was refused.", *await story(refusal, failure, OWN)]
        return [*lines, *self._remedy(refusal, failure)]

    def _remedy(self, refusal: Refusal, failure: Failure) -> list[str]:
        """Who could grant what was missing."""
        first = refusal.way[-1].cap if refusal.way else refusal.question.cap
        own = OWN.get(first)
        if own is None or not isinstance(failure, NEEDS_AUTHORITY):
            return ["No authority was missing: with other arguments, or at another time, this cap may do."]
        callers, called = self.description.callers(own.service), self.description.called_by(own.service)
        return [
            "Who could grant it: a cap is never more than the one through which it was opened.",
            "  The first one on this way is what the system's description gives the shell. Beyond it decides",
            f"  {own.service}, out of what it was given to call: {', '.join(called) or 'nobody'}.",
            f"  Caps to call {own.service} were given to: {', '.join(callers)}.",
        ]

    def came_to_grief(self, job: Job) -> None:
        """A process ended by a fault."""
        self.faulted = job

    def leave(self) -> None:
        """This was the last command."""
        self.is_left = True

    async def read(self, prompt: str) -> str | None:
        """A line, key by key; None at the end of the input. Keys behind it are kept: they are the next line's."""
        self.editor.begin(prompt)
        await self._draw(self.editor.picture())
        while True:
            keys, self.ahead = self.ahead or await self._keys(), ""
            for place, key in enumerate(keys, 1):
                outcome = self.editor.key(key)
                if outcome in (Outcome.ENTERED, Outcome.ENDED):
                    self.ahead = keys[place:]
                if outcome is Outcome.ENTERED:
                    await self._draw(f"{self.editor.picture()}\n")
                    return self.editor.entered()
                if outcome is Outcome.ENDED:
                    await self._draw("\n")
                    return None
                if outcome is Outcome.INTERRUPTED:
                    # What runs next is not meant.
                    await self._forget_news()
                    await self._draw("^C\n")
                    self.editor.begin(prompt)
                elif outcome is Outcome.COMPLETE:
                    await self._complete()
            await self._draw(self.editor.picture())

    async def _keys(self) -> str:
        keys: str = await self._patiently(self.input.read_keys)
        return keys

    async def _draw(self, text: str) -> None:
        # If that fails it is drawn as a whole with the next key.
        with suppress(Failure):
            await self.input.draw(text)

    async def _complete(self) -> None:
        """Complete a command, or a path."""
        words = self.editor.words()
        choices = sorted(COMMANDS) if len(words) == 1 else await self._choices(words)
        fitting = self.editor.complete(choices)
        if fitting:
            await self.say("  ".join(fitting))

    async def _choices(self, words: list[str]) -> list[str]:
        """Commands, numbers of processes, services, or names of files."""
        if words[0] == "help" and len(words) == 2:
            return sorted(COMMANDS)
        if words[0] in OF_JOBS and len(words) == 2:
            jobs = [str(number) for number in self.jobs.running]
            try:
                services = [each.label for each in await self.supervision.services()]
            except Failure:
                services = []
            return jobs + services * (words[0] in OF_SERVICES)
        if words[0] == "revoke" and len(words) == 3 and words[1].isdecimal():
            job = self.jobs.running.get(int(words[1]))
            return list(job.gifts) if job else []
        return await self._names(words[-1].rpartition("=")[2])

    async def _names(self, word: str) -> list[str]:
        """Names that a path could go on with; a directory's ends with a slash."""
        try:
            directory = await self.paths.directory(word.rpartition("/")[0] or ("/" if word.startswith("/") else "."))
            found = await commands.entries(directory)
            await self.paths.done(directory)
        except Failure:
            return []
        return [entry.name + "/" * (entry.kind is Kind.DIRECTORY) for entry in found]


def _prompt(here: Sequence[str]) -> str:
    """Where one is, or the end of it."""
    path = f"/{'/'.join(here)}"
    return (path if len(path) <= PROMPT_LIMIT else f"/…{path[2 - PROMPT_LIMIT :]}") + "> "


def _pieces(line: str) -> Iterator[str]:
    """A line in pieces that can be put out, each below the one before: one piece, if it is no longer than that."""
    data = line.encode()
    while len(data) >= WRITE_LIMIT:
        piece = data[: WRITE_LIMIT - 1].decode(errors="ignore")  # A character that is cut goes into the next piece.
        yield piece
        data = data[len(piece.encode()) :]
    yield data.decode()


def _cut(text: str) -> str:
    """As much of a text as fits into a line."""
    data = text.encode()
    return text if len(data) <= LINE_LIMIT else data[: LINE_LIMIT - 3].decode(errors="ignore") + "…"


class Plain(Program):
    """The shell for a script: whole lines, each shown behind its prompt."""

    async def read(self, prompt: str) -> str | None:
        """A line; None at the end of the input. Whoever types can see that it is wanted."""
        while True:
            self.asked += 1
            await self.pd.store(self.places.status + ASKED, self.pd.life << LIFE_SHIFT | self.asked)
            line: Line = await self._patiently(lambda: self.input.read_line(prompt))
            if line.ending is Ending.END_OF_INPUT:
                return None
            if line.ending is Ending.ENTERED:
                self.editor.begin(prompt)
                self.editor.insert(line.text)
                return self.editor.entered()

    async def _forget_interrupt(self) -> None:
        """The interrupt key has done its work; it is taken out of what was typed."""
        await self._patiently(lambda: self.input.read_line(""))
