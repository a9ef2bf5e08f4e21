"""A serial terminal: lines of many clients, the line that is being typed below them, keys for one holder at a time.

What is put out waits in a queue and goes to the device a FIFO at a time, as its transmitter gets empty. Each client who
writes waits for his own text, so the queue is no longer than there are places to wait. When text comes while a line is
being typed, that line is erased, and drawn again below. Keys that nobody reads wait, up to a number; then the driver
takes no more from the device, and whoever types waits (so does a ^C behind so many keys). Nobody else notices.
A transmitter that does not get empty is started anew after some signs of life, and whoever waits gets a DeviceError.

With memory that outlives it (``state``) it can give way to another program: what is to be put out is put out first, and
keys that nobody has read, those of a line that is being typed, too, who has them and who waits for them are handed
over. A line that is being typed is drawn again as it was.

A device is a ``Port``: a program per kind of device says how its registers are used, and nothing else.
"""

import codecs
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final

from attrs import define, field, frozen

from capkernel.protocols.console import INTERRUPT_KEY, MAX_LINE, MAX_TEXT, Console, ConsoleInput, Line
from capkernel.protocols.failures import Busy, DeviceError, Gone, TooLarge
from capkernel.protocols.given import GivenCap, given_caps, restore_given
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from capkernel.user.tasks import Condition
from servers.drivers.line_editor import LineEditor
from servers.neighbours import Role, Serves, Uses
from servers.system.retiring import Handover, decline
from servers.system.waiting import Callers, KeptRequest, LastingReplies, keep_request
from servers.text import harmless

IRQ, SUPERVISOR, WRITERS, INPUT, UPDATE = 0, 1, range(2, 10), 10, 20
"""Channels: the device, signs of life, clients who write, the one who has the keys (he is signalled at a ^C), updates.
"""
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
FIRST_REPLY, REPLIES = 302, 6
HELD_CNODE, HELD_ADDRESS, HELD_REPLIES, REPLY_MEMORY = 310, 1 << 58, range(1, REPLIES + 2), 311
"""If there is memory for the program after this one: the granted CNode that lasts, the cap address of its slot 0, its
slots; the memory for reply objects.
"""
KEPT_FOR_WRITERS: Final = 1
"""Of the places to wait, those that whoever reads does not get."""
_LONGEST_REST: Final = 3
MAX_KEYS: Final = 4096
"""Typed ahead."""
BURST: Final = 64
"""Bytes that are taken from the device at a time: no device keeps the driver from everything else."""
MAX_ECHO: Final = 1024
"""Bytes in the queue from which on keys are not looked at."""
PATIENCE: Final = 3
"""Signs of life after which a transmitter that took nothing meanwhile is started anew."""
POLL, POLLS = 100, 500
"""Ticks after which a driver that is to retire looks again whether everything is put out; how often, at most."""
ERASE: Final = "\r\x1b[K"
BELL: Final = "\a"


class Port(ABC):
    """A serial device. ``fifo`` is how many bytes its transmitter takes when it is empty; the other two are the bits
    of its interrupts. What differs between devices is below.
    """

    fifo: ClassVar[int]
    RECEIVED: ClassVar[int]
    SENT: ClassVar[int]

    def __init__(self, pd: PD, base: int) -> None:
        self.pd = pd
        self.base = base
        self.interrupts = self.RECEIVED

    async def start(self) -> None:
        """Make it ready, with nothing to send and nothing received, and listen."""
        self.interrupts = self.RECEIVED
        await self.reset()
        await self.enable(self.interrupts)

    async def remind(self) -> None:
        """Tell it again how it is to work, in case that it forgot."""
        await self.set_up()
        await self.enable(self.interrupts)

    async def send(self, data: bytes) -> None:
        """Fill the empty transmitter; it interrupts when it is empty again."""
        for byte in data:
            await self.put(byte)
        await self._switch(self.SENT, True)

    async def is_sent(self) -> bool:
        """Whether the transmitter is empty; then it does not interrupt any more."""
        is_empty = await self.is_empty()
        if is_empty:
            await self._switch(self.SENT, False)
        return is_empty

    async def listen(self, is_on: bool) -> None:
        """Whether received bytes interrupt."""
        await self._switch(self.RECEIVED, is_on)

    async def _switch(self, kind: int, is_on: bool) -> None:
        self.interrupts = self.interrupts & ~kind | kind * is_on
        await self.enable(self.interrupts)

    @abstractmethod
    async def reset(self) -> None:
        """Empty both directions, and set it up."""

    @abstractmethod
    async def set_up(self) -> None:
        """Say how it is to work, without losing anything."""

    @abstractmethod
    async def enable(self, interrupts: int) -> None:
        """Let just these interrupt."""

    @abstractmethod
    async def put(self, byte: int) -> None:
        """A byte for the transmitter, which has room."""

    @abstractmethod
    async def is_empty(self) -> bool:
        """Whether the transmitter is empty."""

    @abstractmethod
    async def receive(self) -> int | None:
        """The next byte that was received, if there is one."""


@define(eq=False)
class _Text:
    """Something in the queue; ``is_out`` once the device has all of it, ``is_lost`` if it will not take it."""

    data: bytes
    is_out: bool = False
    is_lost: bool = False
    out: Condition = field(factory=Condition)


class Terminal:
    """What is on its way to the device. ``typed`` is the line at the bottom, which is still being typed.

    ``may_wait`` says whether the client who asks can be kept waiting.
    """

    def __init__(self, pd: PD, port: Port) -> None:
        self.pd = pd
        self.port = port
        self.may_wait: Callable[[], bool] = lambda: bool(pd.spare_replies)
        self.queue: list[_Text] = []
        self.typed = ""
        self.position = 0
        self.is_sending = False
        self.waited = 0
        self.moved = Condition()

    @property
    def backlog(self) -> int:
        """Bytes in the queue."""
        return sum(len(text.data) for text in self.queue) - self.position

    async def write(self, lines: str) -> None:
        """Put out whole lines above the one that is being typed. Raises Busy."""
        await self._put(f"{ERASE}{lines}{self.typed}" if self.typed else lines)

    async def draw(self, text: str) -> None:
        """Go on with the line at the bottom. Raises Busy."""
        self._need_place(len(text.encode()))
        await self._sent(self.echo(text))

    def echo(self, text: str) -> _Text:
        """The same, without waiting for it."""
        self.typed = (self.typed + text).rpartition("\n")[2]
        return self._enqueue(text)

    def redraw(self, line: str) -> None:
        """Another line in place of the one at the bottom."""
        self.typed = line
        self._enqueue(ERASE + line)

    def bell(self) -> None:
        """Make a sound."""
        self._enqueue(BELL)

    async def pump(self) -> None:
        """Give the device what it can take."""
        while self.queue and not self.is_sending:
            text = self.queue[0]
            piece = text.data[self.position : self.position + self.port.fifo]
            self.position += len(piece)
            if self.position == len(text.data):
                self.queue.pop(0)
                self.position, text.is_out = 0, True
                text.out.notify()
            self.is_sending = True
            await self.port.send(piece)
            self.moved.notify()

    async def look(self) -> None:
        """Go on if the transmitter is empty."""
        if self.is_sending and await self.port.is_sent():
            self.is_sending = False
            self.waited = 0
        await self.pump()

    async def lose_patience(self) -> None:
        """After a look in vain: if there were too many, start the device anew. What was to be put out is lost."""
        self.waited += self.is_sending
        if self.waited <= PATIENCE:
            return
        await self.port.start()
        lost, self.queue = self.queue, []
        self.position = self.waited = 0
        self.is_sending = False
        for text in lost:
            text.is_lost = True
            text.out.notify()
        self.moved.notify()

    async def _put(self, text: str) -> None:
        self._need_place(len(text.encode()))
        await self._sent(self._enqueue(text))

    def _enqueue(self, text: str) -> _Text:
        entry = _Text(text.encode())
        self.queue.append(entry)
        return entry

    async def _sent(self, text: _Text) -> None:
        await self.pump()
        while not text.is_out:
            await text.out.wait()
            if text.is_lost:
                raise DeviceError("the terminal takes nothing any more")

    def _need_place(self, size: int) -> None:
        """Before anything is put out: either it goes at once, or its client can wait. Raises Busy."""
        if not self.may_wait() and (self.queue or self.is_sending or size > self.port.fifo):
            raise Busy("too many clients wait for the terminal already")


class Keys:
    """What was typed and not yet read, and who may read it: the last of ``focus``."""

    def __init__(self, pd: PD, terminal: Terminal) -> None:
        self.pd = pd
        self.terminal = terminal
        self.typed: list[str] = []
        self.ground = InputServant(self)
        self.focus = [self.ground]
        self.changed = Condition()
        self.is_read = False
        self._decoder: Any = codecs.getincrementaldecoder("utf-8")("replace")
        self._listens = True

    @property
    def rest(self) -> bytes:
        """The bytes of a key of which more are to come."""
        return bytes(self._decoder.getstate()[0])

    @rest.setter
    def rest(self, data: bytes) -> None:
        self._decoder.setstate((data, 0))

    async def look(self) -> None:
        """Take what the device has received, as far as there is room."""
        for _ in range(min(BURST, MAX_KEYS - len(self.typed))):
            byte = await self.terminal.port.receive()
            if byte is None:
                break
            for key in self._decoder.decode(bytes((byte,))):
                await self._key(key)
        await self._listen()
        self.changed.notify()

    async def next(self, reader: "InputServant") -> str:
        """Wait for a key, for whoever has the focus. Raises Gone, Busy."""
        while not self.typed or self.terminal.backlog > MAX_ECHO:
            await (self.terminal.moved if self.typed else self.changed).wait()
            self.need_focus(reader)
        key = self.typed.pop(0)
        await self._listen()
        return key

    @property
    def is_edited(self) -> bool:
        """Whether a line is being typed."""
        return any(reader.editor is not None for reader in self.focus)

    def need_focus(self, reader: "InputServant") -> None:
        """Raise Gone or Busy unless the reader has the focus."""
        if reader not in self.focus:
            raise Gone("the keys were taken back")
        if self.focus[-1] is not reader:
            raise Busy("the keys are lent to somebody else")

    def begin(self, reader: "InputServant") -> None:
        """Somebody begins to read. Raises Gone, Busy."""
        self.need_focus(reader)
        if self.is_read:
            raise Busy("somebody reads through this cap already")
        if len(self.pd.spare_replies) <= KEPT_FOR_WRITERS:
            raise Busy("too many clients wait for the terminal already")
        self.is_read = True

    def take_back(self, reader: "InputServant") -> None:
        """Nobody reads through this cap any more; what was lent through it ends, too."""
        if reader in self.focus:
            del self.focus[max(1, self.focus.index(reader)) :]
            self.changed.notify()
            self.terminal.moved.notify()

    async def _key(self, key: str) -> None:
        if key == INTERRUPT_KEY:
            self.typed.clear()
            if self.pd.values.notifications >> INPUT & 1:
                await self.pd.notify(INPUT)
        self.typed.append(key)

    async def _listen(self) -> None:
        """Let the device interrupt for keys if there is room for them."""
        has_room = len(self.typed) < MAX_KEYS
        if has_room != self._listens:
            self._listens = has_room
            await self.terminal.port.listen(has_room)


class OutputServant(Console):
    """The terminal, for a client who may write."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    async def write(self, text: str) -> None:
        """Whole lines."""
        if len(text.encode()) > MAX_TEXT:
            raise TooLarge(f"at most {MAX_TEXT} bytes are written at a time, not {len(text.encode())}")
        if text:
            await self.terminal.write(harmless(text if text.endswith("\n") else f"{text}\n"))


class InputServant(ConsoleInput):
    """The keys, for whoever has the focus."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.terminal = keys.terminal
        self.is_echoing = True
        self.editor: LineEditor | None = None
        """Of the line that is being read through this cap."""

    async def read_line(self, prompt: str) -> Line:
        """A line."""
        if len(prompt.encode()) > MAX_LINE:
            raise TooLarge(f"a prompt has at most {MAX_LINE} bytes, not {len(prompt.encode())}")
        self.keys.begin(self)
        self.terminal.echo(harmless(prompt).rpartition("\n")[2])
        try:
            return await self._edit(self.terminal.typed)
        finally:
            self.keys.is_read = False
            self.editor = None
            self.terminal.echo("\n")

    async def _edit(self, before: str) -> Line:
        """Keys until the line ends; ``before`` is what it begins with."""
        editor = self.editor = LineEditor()
        while True:
            await self.terminal.pump()
            text, key = editor.text, await self.keys.next(self)
            line = editor.key(key)
            if line is not None:
                self.terminal.echo("^C" if key == INTERRUPT_KEY else "")
                return line
            self._show(before, text, editor)

    def _show(self, before: str, text: str, editor: LineEditor) -> None:
        if editor.is_full:
            self.terminal.bell()
        elif self.is_echoing and editor.text.startswith(text):
            self.terminal.echo(editor.text[len(text) :])
        elif self.is_echoing:
            self.terminal.redraw(before + editor.text)

    async def read_keys(self) -> str:
        """Keys as they are."""
        self.keys.begin(self)
        try:
            keys = await self.keys.next(self)
        finally:
            self.keys.is_read = False
        while self.keys.typed and len((keys + self.keys.typed[0]).encode()) <= MAX_LINE:
            keys += await self.keys.next(self)
        return keys

    async def draw(self, text: str) -> None:
        """Part of the line that is being typed."""
        self.keys.need_focus(self)
        line = (self.terminal.typed + text).rpartition("\n")[2]
        if len(line.encode()) > MAX_LINE or len(text.encode()) > MAX_TEXT:
            raise TooLarge(f"a line that is typed has at most {MAX_LINE} bytes, not {len(line.encode())}")
        if text:
            await self.terminal.draw(text)

    async def set_echo(self, is_on: bool) -> None:
        """Show what is typed, or not."""
        self.is_echoing = is_on

    async def lend(self) -> ConsoleInput:
        """The focus, for somebody else."""
        self.keys.need_focus(self)
        if self.keys.is_read:
            raise Busy("somebody reads through this cap")
        borrower = InputServant(self.keys)
        self.keys.focus.append(borrower)
        return borrower

    async def closed(self) -> None:
        """The focus goes back."""
        self.keys.take_back(self)


WRITER: Final = -1
"""In the place of a number in the line of those who have the keys: a cap to write."""


@frozen
class KeptKeys:
    """For the next program: the keys, what is half of a key, who has them, the caps and to what they lead, who waits.

    ``echoing`` has a place for each who has or has lent the focus; ``objects`` are such places, ``line`` is what was
    drawn at the bottom by whoever edits it by himself.
    """

    line: str
    typed: str
    rest: bytes
    echoing: list[bool]
    objects: list[int]
    caps: list[GivenCap]
    waiting: list[KeptRequest]


def keep_keys(keys: Keys, service: Service, waiting: list[KeptRequest]) -> KeptKeys:
    """What was typed and given out."""
    servants, caps = given_caps(service)
    editors = [reader.editor.typed for reader in keys.focus if reader.editor is not None]
    # A cap that was taken back while it was lent leads to a reader who has nothing.
    readers = [*keys.focus, *(each for each in servants if isinstance(each, InputServant) and each not in keys.focus)]
    objects = [readers.index(each) if isinstance(each, InputServant) else WRITER for each in servants]
    typed = "".join([*editors, *keys.typed])
    echoing = [each.is_echoing for each in keys.focus]
    return KeptKeys(keys.terminal.typed, typed, keys.rest, echoing, objects, caps, waiting)


def restore_keys(kept: KeptKeys, keys: Keys, service: Service) -> None:
    """Go on from there. Raises ValueError if no former life can have written this down."""
    if not kept.echoing or len(kept.rest) > _LONGEST_REST or any(each < WRITER for each in kept.objects):
        raise ValueError("nobody has the keys, or more than half a key is left")
    keys.ground.is_echoing = kept.echoing[0]
    for is_echoing in kept.echoing[1:]:
        reader = InputServant(keys)
        reader.is_echoing = is_echoing
        keys.focus.append(reader)
    keys.terminal.typed = kept.line
    keys.typed = list(kept.typed)
    keys.rest = kept.rest
    readers = [*keys.focus, *(InputServant(keys) for _ in range(len(kept.objects)))]
    if any(each >= len(readers) for each in kept.objects):
        raise ValueError("a cap leads to a reader who is not there")
    objects = [OutputServant(keys.terminal) if each == WRITER else readers[each] for each in kept.objects]
    restore_given(service, objects, kept.caps)


class ConsoleProgram(ABC):
    """The driver of any device. ``state`` is memory that outlives it, for the program after it; who gives it that gives
    it slots that last, and memory for reply objects.
    """

    uses: ClassVar[Uses] = Uses(
        serves=dict.fromkeys(WRITERS, Serves(Console)) | {INPUT: Serves(ConsoleInput)}, interrupts=frozenset({IRQ}),
        signals={SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        needs=frozenset({"registers"}), holds=frozenset({ENDPOINT}),
    )
    state: int = 0
    state_size: int = 0x1_0000

    def __init__(self) -> None:
        self.terminal: Any = None
        self.keys: Any = None
        self.service: Any = None
        self.handover: Any = None
        self.callers: Any = None

    @abstractmethod
    def make_port(self, pd: PD) -> Port:
        """The device."""

    async def init(self, pd: PD) -> None:
        """Start the device, and serve; or go on where the program before stopped."""
        port = self.make_port(pd)
        self.terminal = Terminal(pd, port)
        self.keys = Keys(pd, self.terminal)
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=inbox)
        self.terminal.may_wait = self.service.may_wait
        self.callers = Callers[None](pd)
        if self.state and await self._goes_on(pd):
            return
        if not self.state:
            pd.spare_replies.extend(range(FIRST_REPLY, FIRST_REPLY + REPLIES))
        await port.start()
        if pd.life > 1:
            # The driver before may have died in the middle of a line, which whoever wrote it will write again.
            self.terminal.redraw("")
            await self.terminal.pump()

    async def _goes_on(self, pd: PD) -> bool:
        """Go on where the program before stopped; false if it left nothing."""
        replies = LastingReplies(pd, HELD_CNODE, HELD_ADDRESS, HELD_REPLIES, REPLY_MEMORY)
        waiting: list[KeptRequest] = []

        async def take_up(kept: KeptKeys) -> None:
            waiting.extend(kept.waiting)
            replies.use([each.reply for each in waiting])
            restore_keys(kept, self.keys, self.service)
            # It works, and may have received keys meanwhile.
            await self.terminal.port.remind()

        await replies.open()
        self.handover = Handover(pd, KeptKeys, SharedRegion(self.state, self.state_size), SUPERVISOR, UPDATE)
        if not await self.handover.go_on(take_up):
            await replies.abandon()
            replies.use([])
            return False
        for each in waiting:
            await self.callers.resume(self.service, each, None)
        await self._go_on()
        return True

    def _root(self, session: int) -> Interface | None:
        if session == INPUT:
            keys: Interface = self.keys.ground
            return keys
        return OutputServant(self.terminal) if session in WRITERS else None

    async def notified(self, pd: PD, ch: int) -> None:
        """The device interrupts, or the supervisor wants a sign of life, or another program in this one's place."""
        if ch == UPDATE:
            await self._give_way(pd)
        elif ch == IRQ:
            if not self.terminal.is_sending:
                # It may be an interrupt that was switched off, of which the device knows nothing.
                await self.terminal.port.remind()
            await self._look()
            await pd.irq_ack(IRQ)
        elif ch == SUPERVISOR:
            await self.terminal.port.remind()
            await self._look()
            await self.terminal.lose_patience()
            await self._go_on()
            await pd.notify(SUPERVISOR)

    async def _give_way(self, pd: PD) -> None:
        """Put out everything first, so that nobody waits any more but who reads. His line goes, and comes again when
        the next program takes his request up.
        """
        if self.handover is None:
            await decline(pd, "there is no memory that outlives the keys")
            return
        line = ""
        for _ in range(POLLS):
            await self._look()
            if not self.terminal.queue and not self.terminal.is_sending:
                if not self.terminal.typed or not self.keys.is_edited:
                    waiting = [keep_request(reply, message) for reply, message, _ in self.callers.waiting()]
                    await self.handover.give_way(keep_keys(self.keys, self.service, waiting))
                    break
                line += self.terminal.typed
                self.terminal.redraw("")
            await pd.compute(POLL)
        else:
            await decline(pd, "the terminal does not take what is to be put out")
        if line:
            self.terminal.redraw(line + self.terminal.typed)
        await self._go_on()

    async def _look(self) -> None:
        await self.terminal.look()
        await self.keys.look()
        await self._go_on()

    async def _go_on(self) -> None:
        """Let those go on who waited; what they put out is sent."""
        await self.service.run_ready()
        await self.terminal.pump()
        await self.service.run_ready()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        answer = await self.callers.serve(self.service, msg, None)
        await self._go_on()
        return answer
