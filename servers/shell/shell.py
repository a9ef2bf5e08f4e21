"""The shell's program: a prompt, a line, a command, for ever."""

import shlex
from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.clocks import Timer
from capkernel.protocols.console import Console, ConsoleInput, Ending
from capkernel.protocols.failures import Failure, Malformed, ServerDied
from capkernel.protocols.files import Kind
from capkernel.protocols.mounts import Mounts
from capkernel.protocols.network import Network
from capkernel.protocols.supervision import Supervision
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from servers.shell import commands
from servers.shell.commands import COMMANDS, describe
from servers.shell.editor import Editor, Outcome
from servers.shell.paths import Paths

status: int = 0

CONSOLE, INPUT, SUPERVISOR, TIMER, NETWORK = 0, 1, 3, 4, 5
"""Channels; a system without a network has none for it."""
ROOT = 310
"""The slot of the cap to the root directory. It is no channel, since through one no caps could be handed over."""
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
ENDED = 0
"""Offset of the word that says that the shell was left."""
WRITE_LIMIT = 800
"""Bytes of text that are put out at a time: what fits into a message."""


class Program:
    """The shell for a terminal: lines are edited key by key, with history and completion."""

    def __init__(self) -> None:
        self.editor = Editor()
        self.last_refusal = "nothing was refused yet"
        self.is_left = False
        self.paths: Any = None
        self.root: Any = None
        self.supervision: Any = None
        self.timer: Any = None
        self.network: Network | None = None
        self.console: Any = None
        self.input: Any = None

    @property
    def status(self) -> int:
        """Where the end is reported: each program has variables of its own."""
        return status

    @property
    def history(self) -> list[str]:
        """What was typed."""
        return self.editor.history

    async def init(self, pd: PD) -> None:
        """Connect, and go on until the end."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        plain = Connection(pd.sys, inbox)
        self.console = connect(Console, plain, BASE_ENDPOINT_CAP + CONSOLE)
        self.input = connect(ConsoleInput, plain, BASE_ENDPOINT_CAP + INPUT)
        self.root = connect(Mounts, plain, ROOT)
        self.paths = Paths(self.root)
        self.supervision = connect(Supervision, plain, BASE_ENDPOINT_CAP + SUPERVISOR)
        self.timer = connect(Timer, plain, BASE_ENDPOINT_CAP + TIMER)
        if pd.values.pps >> NETWORK & 1:
            self.network = connect(Network, plain, BASE_ENDPOINT_CAP + NETWORK)
        await self.say("capkernel: `help` lists the commands, `exit` leaves")
        while not self.is_left:
            await self._turn()
        await pd.store(self.status + ENDED, 1)

    async def notified(self, pd: PD, ch: int) -> None:
        """The interrupt key while nothing is being read; nothing else can be interrupted yet."""

    async def _turn(self) -> None:
        line = await self.read(f"/{'/'.join(self.paths.here)}> ")
        if line is None:
            self.leave()
            return
        try:
            words = shlex.split(line, comments=True)
            if words:
                await commands.run(self, words)
        except ValueError as error:
            await self._refused(Malformed(f"this line cannot be read: {error}"))
        except Failure as failure:
            await self._refused(failure)

    async def _refused(self, failure: Failure) -> None:
        self.last_refusal = f"{describe(failure)}\n{(type(failure).__doc__ or '').strip()}"
        await self.say(describe(failure))

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
        while True:
            try:
                await self.console.write(text)
            except ServerDied:
                continue
            return

    def why(self) -> str:
        """Why the last command was refused."""
        return self.last_refusal

    def leave(self) -> None:
        """This was the last command."""
        self.is_left = True

    async def read(self, prompt: str) -> str | None:
        """A line, key by key; None at the end of the input."""
        self.editor.begin(prompt)
        await self._draw(self.editor.picture())
        while True:
            for key in await self._keys():
                outcome = self.editor.key(key)
                if outcome is Outcome.ENTERED:
                    await self._draw("\n")
                    return self.editor.entered()
                if outcome is Outcome.ENDED:
                    await self._draw("\n")
                    return None
                if outcome is Outcome.INTERRUPTED:
                    await self._draw("^C\n")
                    self.editor.begin(prompt)
                elif outcome is Outcome.COMPLETE:
                    await self._complete()
            await self._draw(self.editor.picture())

    async def _keys(self) -> str:
        while True:
            try:
                keys: str = await self.input.read_keys()
            except ServerDied:
                continue
            return keys

    async def _draw(self, text: str) -> None:
        try:
            await self.input.draw(text)
        except ServerDied:
            # The line is drawn as a whole again with the next key.
            return

    async def _complete(self) -> None:
        """Complete a command, or a path."""
        words = self.editor.text[: self.editor.cursor].split(" ")
        choices = sorted(COMMANDS) if len(words) == 1 else await self._names(words[-1])
        fitting = self.editor.complete(choices)
        if fitting:
            await self.say("  ".join(fitting))

    async def _names(self, word: str) -> list[str]:
        """Names that a path could go on with; a directory's ends with a slash."""
        try:
            directory = await self.paths.directory(word.rpartition("/")[0] or ("/" if word.startswith("/") else "."))
            found = await commands.entries(directory)
            await self.paths.done(directory)
        except Failure:
            return []
        return [entry.name + "/" * (entry.kind is Kind.DIRECTORY) for entry in found]


def _pieces(line: str) -> list[str]:
    """A line in pieces that can be put out; a character has at most four bytes."""
    size = WRITE_LIMIT // 4
    return [line[start : start + size] for start in range(0, len(line), size)] or [""]


class Plain(Program):
    """The shell for a script: whole lines, each shown behind its prompt."""

    async def read(self, prompt: str) -> str | None:
        """A line; None at the end of the input."""
        while True:
            try:
                line = await self.input.read_line(prompt)
            except ServerDied:
                continue
            if line.ending is Ending.END_OF_INPUT:
                return None
            if line.ending is Ending.ENTERED:
                self.editor.begin(prompt)
                self.editor.insert(line.text)
                return self.editor.entered()
