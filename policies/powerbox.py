"""The powerbox (``protocols.powerbox``): it alone holds the user's files, and asks him who may have which.

    powerbox: notepad wants to read and write a file.
    powerbox: it says "to save your letter"
    powerbox: there are diary, letter
    powerbox> letter rw always

An answer is a name, quoted if need be; what may be done, ``r`` when not said, never more than was asked for; and
``always`` if the same question shall not be asked again. ``no`` and an empty line refuse, ``never`` refuses for good
whatever this program asks. Who asks is known by the channel, whose name is in the table ``programs`` of ``names``. What
a program says of itself is one line in quotation marks, so no line but ours begins with ``powerbox``.

What was to be remembered is written down before it counts, in memory that lasts.
"""

import json
import shlex
from typing import Any, Final

from attrs import frozen

from capkernel.protocols.brokering import Question
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.console import Console, ConsoleInput, Ending
from capkernel.protocols.failures import Failure, Malformed, NotFound, NotPermitted, QuotaExceeded, ServerDied
from capkernel.protocols.files import READ, READ_WRITE, WRITE, Directory, File
from capkernel.protocols.interface import Interface
from capkernel.protocols.powerbox import MAX_PURPOSE, Powerbox
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.channel_names import read_channel_names
from capkernel.user.inbox import Inbox
from capkernel.user.kept import KeptValue
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import clock
from capkernel.user.syscalls import Message
from policies.models.limits import EVERYBODY, Rate

names: int = 0
names_size: int = 0x1000
choices: int = 0
choices_size: int = 0x4000

CONSOLE, INPUT, PROGRAMS = 0, 40, range(2, 30)
ENDPOINT, OWN_CNODE, FILES, FIRST_SLOT, END_SLOT = 300, 301, 310, 400, 500
TICKS_PER_US: Final = 10
TRIES: Final = 4
"""How often the console may die while it is asked, and how often the user may mistype."""
QUESTIONS_PER_SECOND: Final = 1
MAX_CHOICES: Final = 64
NEVER: Final = ""
LISTED: Final = 300
"""Characters of names that are shown."""
RIGHTS: Final = {"r": READ, "w": WRITE, "rw": READ_WRITE}
WORDS: Final = {READ: "read", WRITE: "write", READ_WRITE: "read and write"}


@frozen
class Choice:
    """What the user wants to be remembered. The name is NEVER, and purpose and rights do not matter, for a program that
    is to get nothing."""

    program: str
    purpose: str
    rights: int
    name: str
    granted: int


@frozen
class Choices:
    """All of them."""

    made: list[Choice]


@frozen
class Answer:
    """What the user said: the name of a file, or NEVER if it is none; rights; whether it is to be remembered."""

    name: str
    rights: int = 0
    is_always: bool = False


def read_answer(text: str, rights: int) -> Answer:
    """A line of the user's. Raises Malformed, with a sentence for him."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Malformed(f"that cannot be read: {error}") from None
    if not words or words == ["no"]:
        return Answer(NEVER)
    if words == ["never"]:
        return Answer(NEVER, is_always=True)
    name, *rest = words
    is_always = rest[-1:] == ["always"]
    said = rest[: len(rest) - is_always] or ["r" if rights & READ else "w"]
    if len(said) != 1 or said[0] not in RIGHTS or not name:
        raise Malformed("say NAME, or NAME r, w or rw, and always if this shall not be asked again; or no, or never")
    granted = RIGHTS[said[0]] & rights
    if not granted:
        raise Malformed(f"it wants to {WORDS[rights]}")
    return Answer(name, granted, is_always)


class Dialogue:
    """The conversation with the user."""

    def __init__(self, console: Console, keys: ConsoleInput, files: Directory) -> None:
        self.console = console
        self.keys = keys
        self.files = files

    async def ask(self, program: str, purpose: str, rights: int) -> Answer:
        """Ask, until there is an answer that can be read; else it is no. Raises failures."""
        await self.say(f"{program} wants to {WORDS[rights]} a file.", f"it says {self.quoted(purpose)}")
        await self.say(f"there are {await self._names()}")
        for _ in range(TRIES):
            line = await self.keys.read_line("powerbox> ")
            try:
                return read_answer(line.text if line.ending is Ending.ENTERED else "", rights)
            except Malformed as failure:
                await self.say(str(failure))
        return Answer(NEVER)

    async def say(self, *lines: str) -> None:
        """Tell the user something."""
        await self.console.write("".join(f"powerbox: {line}\n" for line in lines))

    def quoted(self, text: str) -> str:
        """What others say, as one line in quotation marks."""
        return json.dumps(text)

    async def _names(self) -> str:
        found: list[str] = []
        while entries := await self.files.list(len(found)):
            found += [entry.name for entry in entries]
            if sum(map(len, found)) > LISTED:
                break
        shown = ", ".join(name if name.isalnum() else json.dumps(name) for name in found)
        return shown if len(shown) <= LISTED else shown[:LISTED] + " …"


class Memory:
    """What was decided, and how often who asked."""

    def __init__(self, kept: KeptValue[Choices]) -> None:
        self.kept = kept
        self.choices: list[Choice] = []
        self.asking = Rate({EVERYBODY: QUESTIONS_PER_SECOND})

    async def open(self) -> None:
        """Go on with what a former life wrote down."""
        found = await self.kept.load()
        self.choices = list(found.made) if found is not None else []

    def find(self, program: str, purpose: str, rights: int) -> Choice | None:
        """What was decided for this question."""
        for choice in self.choices:
            if choice.program == program and choice.name == NEVER:
                return choice
            if (choice.program, choice.purpose, choice.rights) == (program, purpose, rights):
                return choice
        return None

    async def keep(self, choice: Choice) -> None:
        """Write it down; the oldest is forgotten when there are too many."""
        others = [each for each in self.choices if each.program != choice.program or choice.name != NEVER]
        self.choices = [*others, choice][-MAX_CHOICES:]
        await self.kept.save(Choices(self.choices))

    async def forget(self, choice: Choice) -> None:
        """What it named is not there any more."""
        self.choices.remove(choice)
        await self.kept.save(Choices(self.choices))

    async def limit(self, program: str) -> None:
        """Raises QuotaExceeded if somebody asks too often."""
        asked = Question(0, program, "", 0, now_us=await clock() // TICKS_PER_US)
        if not self.asking.judge(asked).allowed:
            raise QuotaExceeded(f"{program} may ask the user {QUESTIONS_PER_SECOND} time a second")
        self.asking.granted(asked)


class PowerboxServant(Powerbox):
    """The powerbox, for one program."""

    def __init__(self, program: str, dialogue: Dialogue, memory: Memory) -> None:
        self.program = program
        self.dialogue = dialogue
        self.memory = memory

    def check(self, purpose: str) -> None:
        """Raises Malformed for a purpose that could deceive."""
        if len(purpose) > MAX_PURPOSE or not purpose.isascii() or not purpose.isprintable():
            raise Malformed(f"a purpose is at most {MAX_PURPOSE} characters of ASCII that can be printed")

    async def ask(self, purpose: str, rights: int) -> File:
        """What was decided before, or what the user decides now."""
        self.check(purpose)
        if rights not in WORDS:
            raise Malformed(f"rights are read (1), write (2) or both, not {rights}")
        known = self.memory.find(self.program, purpose, rights)
        if known is not None:
            try:
                return await self._open(known.name, known.granted)
            except NotFound:
                await self.memory.forget(known)
        await self.memory.limit(self.program)
        return await self._decided(purpose, rights)

    async def _decided(self, purpose: str, rights: int) -> File:
        for _ in range(TRIES):
            try:
                answer = await self.dialogue.ask(self.program, purpose, rights)
                if answer.is_always and answer.name == NEVER:
                    await self.memory.keep(Choice(self.program, "", 0, NEVER, 0))
                file = await self._open(answer.name, answer.rights)
            except ServerDied:
                continue
            except Failure as failure:
                if isinstance(failure, NotPermitted):
                    raise
                await self.dialogue.say(f"that cannot be opened: {type(failure).__name__}")
                continue
            if answer.is_always:
                await self.memory.keep(Choice(self.program, purpose, rights, answer.name, answer.rights))
            return file
        raise ServerDied("there is nobody to ask, or nothing to give")

    async def _open(self, name: str, rights: int) -> File:
        if name == NEVER:
            raise NotPermitted("the user will not have it")
        return await self.dialogue.files.open(name, rights)


class Program:
    """The server."""

    servant = PowerboxServant
    dialogue = Dialogue

    def __init__(self) -> None:
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Serve."""
        text = (await pd.read(names, names_size)).rstrip(b"\0").decode()
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox)
        console = connect(Console, connection, BASE_ENDPOINT_CAP + CONSOLE)
        keys = connect(ConsoleInput, connection, BASE_ENDPOINT_CAP + INPUT)
        dialogue = self.dialogue(console, keys, connect(Directory, connection, FILES))
        memory = Memory(KeptValue(Choices, SharedRegion(choices, choices_size)))
        await memory.open()
        programs = {ch: name for ch, name in read_channel_names(text, "programs").items() if ch in PROGRAMS}
        roots: dict[int, Interface] = {ch: self.servant(name, dialogue, memory) for ch, name in programs.items()}
        self.service = Service(pd, roots=roots.get, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()

    async def notified(self, pd: PD, ch: int) -> None:
        """The user has interrupted something: his line, and that is its end."""

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A program asks. Nobody else is served until the user has answered."""
        return await self.service.protected(msg)
