"""Protection domains as Microkit has them: ``init``, then ``notified``, ``protected`` and ``fault`` for ever.

A domain's program is a module (or any object) with these hooks, of which each may be ``async def`` or plain ``def``.
A module may also have them as methods of a class named ``Program``, of which each start makes a new object.

| hook                       | called when                                    | returns                                |
|----------------------------|------------------------------------------------|----------------------------------------|
| ``init(pd)``               | the domain starts                              | nothing                                |
| ``notified(pd, ch)``       | a channel or an interrupt was signalled        | nothing                                |
| ``protected(pd, ch, msg)`` | a client made a protected call                 | the reply ``Message``; None is empty;  |
|                            |                                                | ``ANSWERED``: it was, or will be       |
| ``fault(pd, child, msg)``  | a child domain did what it must not            | a ``Message`` or True lets it go on    |

The domain's CSpace, badges and event loop are those of Microkit 2.3 (``libmicrokit``).
"""

import inspect
from collections.abc import Callable
from typing import Any, Final

from capkernel.abi import labels
from capkernel.abi.flags import WRITE_RESUME
from capkernel.abi.objects import USER_TOP
from capkernel.abi.registers import USER_CONTEXT
from capkernel.system.badges import CHANNEL_MASK as CHANNEL_MASK
from capkernel.system.badges import CHILD_MASK as CHILD_MASK
from capkernel.system.badges import ENDPOINT_BADGE as ENDPOINT_BADGE
from capkernel.system.badges import FAULT_BADGE as FAULT_BADGE
from capkernel.user import bridge, stubs
from capkernel.user.bootstrap import Start
from capkernel.user.operations import amo, clock, compute, load, read, store, write
from capkernel.user.pdimage import PDValues
from capkernel.user.syscalls import Message, Syscalls

INPUT_CAP: Final = 1
REPLY_CAP: Final = 4
MONITOR_EP: Final = 5
"""Passive domains only: where one says that it is initialised."""
BASE_OUTPUT_NOTIFICATION_CAP: Final = 10
BASE_ENDPOINT_CAP: Final = 74
BASE_IRQ_CAP: Final = 138
BASE_TCB_CAP: Final = 202
MAX_CHANNELS: Final = 62
IPC_BUFFER: Final = USER_TOP - 0x1000
"""The last page of user space."""
ROOT_CNODE_BITS: Final = 6
PD_CNODE_BITS: Final = 9
"""The root CNode has 64 slots; slot 0 leads to the domain's own CNode of 512, which small cap addresses reach."""

ANSWERED: Final = object()
"""What ``protected`` returns when it has answered by itself, or keeps its caller waiting (``PD.hold_caller``)."""

_IRQ_ACK = Message(labels.IRQ_HANDLER_ACK)
_SIGNAL = Message()


class MissingEntryPoint(Exception):
    """Something came for a protection domain that has no function for it (libmicrokit stops there, too)."""


class ChannelError(Exception):
    """A channel that the domain has not got, or not for this."""


class PD:
    """A protection domain, as its hooks see it. ``name`` is its own; ``sys`` makes any other system call.

    ``reply_cap`` holds whoever calls now; ``spare_replies`` are further reply objects that were granted, for callers
    who are to wait. ``life`` counts from 1 how often the domain was started,
    as far as whoever starts it says so.

    Methods that are ``async`` are awaited in ``async`` hooks and simply called in plain ones.
    """

    def __init__(self, values: PDValues, buffer: int = IPC_BUFFER, life: int = 1) -> None:
        self.name = values.name
        self.life = life
        self.values = values
        self.sys = Syscalls(buffer)
        self._deferred: tuple[int, Message] | None = (MONITOR_EP, _SIGNAL) if values.passive else None
        self.reply_cap = REPLY_CAP
        self.spare_replies: list[int] = []
        self.at_end: list[Callable[[], None]] = []
        """What the host is to do when the program is over, in whatever way."""

    def _cap(self, base: int, channels: int, channel: int, what: str) -> int:
        if not 0 <= channel < MAX_CHANNELS or not channels >> channel & 1:
            have = [ch for ch in range(MAX_CHANNELS) if channels >> ch & 1]
            raise ChannelError(f"{self.name}: channel {channel} is not for {what}; {have or 'none'} would be")
        return base + channel

    def _notification(self, channel: int) -> int:
        return self._cap(BASE_OUTPUT_NOTIFICATION_CAP, self.values.notifications, channel, "notifying")

    def _irq(self, channel: int) -> int:
        return self._cap(BASE_IRQ_CAP, self.values.irqs, channel, "interrupts")

    async def notify(self, channel: int) -> None:
        """Signal the other side of a channel."""
        await self.sys.signal(self._notification(channel))

    async def ppcall(self, channel: int, message: Message = _SIGNAL) -> Message:
        """Call the ``protected`` hook of the other side, and wait for its reply."""
        cap = self._cap(BASE_ENDPOINT_CAP, self.values.pps, channel, "protected calls")
        return await self.sys.call(cap, message)

    def hold_caller(self) -> int:
        """In ``protected``: keep the caller waiting, and return ANSWERED. ``answer`` is given what this returns.

        Raises IndexError if there is no spare reply object.
        """
        held, self.reply_cap = self.reply_cap, self.spare_replies.pop()
        return held

    async def answer(self, held: int, message: Message = _SIGNAL) -> None:
        """Answer a caller that was kept waiting."""
        await self.sys.send(held, message)
        self.spare_replies.append(held)

    async def irq_ack(self, channel: int) -> None:
        """The interrupt was served; it may come again."""
        await stubs.irq_handler_ack(self.sys, self._irq(channel))

    def deferred_notify(self, channel: int) -> None:
        """Signal when this hook is over, together with the next wait. One deferred act at a time: the last counts."""
        self._deferred = self._notification(channel), _SIGNAL

    def deferred_irq_ack(self, channel: int) -> None:
        """Acknowledge when this hook is over, together with the next wait. The last deferred act counts."""
        self._deferred = self._irq(channel), _IRQ_ACK

    async def pd_restart(self, child: int, entry: int) -> None:
        """Let a child domain start anew at an address."""
        await stubs.tcb_write_registers(self.sys, self._child(child), flags=WRITE_RESUME, registers=[entry])

    async def pd_stop(self, child: int) -> None:
        """Stop a child domain."""
        await stubs.tcb_suspend(self.sys, self._child(child))

    async def pd_resume(self, child: int) -> None:
        """Let a stopped child domain go on where it was."""
        await stubs.tcb_resume(self.sys, self._child(child))

    async def pd_registers(self, child: int) -> tuple[int, ...]:
        """The registers of a child domain, in the order of ``abi.registers.USER_CONTEXT``."""
        return await stubs.tcb_read_registers(self.sys, self._child(child), flags=0, count=len(USER_CONTEXT))

    def _child(self, child: int) -> int:
        if not 0 <= child < MAX_CHANNELS:
            raise ChannelError(f"{self.name}: a child's number is below {MAX_CHANNELS}, not {child}")
        return BASE_TCB_CAP + child

    async def print(self, text: str) -> None:
        """Write to the debug console, if the kernel has one (as ``microkit_dbg_puts``)."""
        if self.values.debug:
            await self.sys.print(text)

    async def load(self, vaddr: int, size: int = 8) -> int:
        """Load a number of 1, 2, 4 or 8 bytes."""
        return await load(vaddr, size)

    async def store(self, vaddr: int, value: int, size: int = 8) -> None:
        """Store the low 1, 2, 4 or 8 bytes of a word."""
        await store(vaddr, value, size)

    async def read(self, vaddr: int, size: int) -> bytes:
        """Read bytes of memory."""
        return await read(vaddr, size)

    async def write(self, vaddr: int, data: bytes) -> None:
        """Write bytes to memory."""
        await write(vaddr, data)

    async def amo(self, name: str, vaddr: int, value: int, size: int = 8) -> int:
        """An atomic memory operation; returns the old value."""
        return await amo(name, vaddr, value, size)

    async def compute(self, ticks: int) -> None:
        """Work for so many ticks of 100 ns."""
        await compute(ticks)

    async def clock(self) -> int:
        """The time in ticks of 100 ns."""
        return await clock()

    # The event loop

    async def flush(self) -> None:
        """Do the deferred act now."""
        if self._deferred is not None:
            (cap, message), self._deferred = self._deferred, None
            await self.sys.send(cap, message)

    async def next_event(self, reply: Message | None) -> Message:
        """Answer the last caller if there is an answer, do what was deferred, and wait for whatever comes next."""
        if reply is not None:
            await self.flush()
            return await self.sys.reply_recv(INPUT_CAP, self.reply_cap, reply)
        if self._deferred is not None:
            (cap, message), self._deferred = self._deferred, None
            return await self.sys.nbsend_recv(cap, INPUT_CAP, self.reply_cap, message)
        return await self.sys.recv(INPUT_CAP, self.reply_cap)


async def run(hooks: Any, pd: PD) -> None:
    """Run a domain's program; returns never, but raises what a hook raises."""
    try:
        await _run(hooks, pd)
    finally:
        for each in pd.at_end:
            each()


async def _run(hooks: Any, pd: PD) -> None:
    await _call(hooks, "init", pd)
    for channel in range(MAX_CHANNELS):
        if pd.values.irqs >> channel & 1:
            await pd.irq_ack(channel)
    reply: Message | None = None
    while True:
        message = await pd.next_event(reply)
        reply = None
        badge = message.badge
        if badge & FAULT_BADGE:
            answer = await _call(hooks, "fault", pd, badge & CHILD_MASK, message)
            reply = answer if isinstance(answer, Message) else _SIGNAL if answer else None
        elif badge & ENDPOINT_BADGE:
            answer = await _call(hooks, "protected", pd, badge & CHANNEL_MASK, message)
            reply = None if answer is ANSWERED else _SIGNAL if answer is None else answer
            if reply is not None and not isinstance(reply, Message):
                raise TypeError(f"{pd.name}: protected() returned {answer!r}; it is to return a Message, or None")
        else:
            await _notify_all(hooks, pd, badge)


async def _notify_all(hooks: Any, pd: PD, badge: int) -> None:
    channel = 0
    while badge >> channel:
        if badge >> channel & 1:
            await _call(hooks, "notified", pd, channel)
        channel += 1


async def _call(hooks: Any, name: str, pd: PD, *args: Any) -> Any:
    """Call a hook; a plain one gets a domain whose methods block."""
    hook = getattr(hooks, name, None)
    if hook is None:
        raise MissingEntryPoint(f"{pd.name} is missing the '{name}' entry point")
    if inspect.iscoroutinefunction(hook):
        return await hook(pd, *args)
    blocking_pd = bridge.Blocking(pd)
    answer = await bridge.run_blocking(hook, blocking_pd, *args) if bridge.AVAILABLE else hook(blocking_pd, *args)
    if inspect.iscoroutine(answer):
        answer.close()
    if inspect.isawaitable(answer) or inspect.isasyncgen(answer):
        raise TypeError(f"{pd.name}: {name}() returned something to be awaited; make it `async def`, without `yield`")
    return answer


def program(hooks: Any, load: Callable[[], Any] | None = None) -> Any:
    """The program of a domain with these hooks, for a CPU's table of programs.

    When it starts, the words of its image are given to the names that the hooks' module declares (``pdimage``). A
    module with a class ``Program`` has its hooks in an object of that class, a new one each time. Any other is loaded
    anew by ``load``, if that is given, from the second start on. So no start finds what a former one left behind.
    """
    make = getattr(hooks, "Program", None)
    is_first = True

    def start_pd(start: Start) -> Any:
        nonlocal is_first
        module = hooks if is_first or make is not None or load is None else load()
        is_first = False
        values = PDValues.decode(start.values)
        values.set_variables(module)
        return run(module if make is None else make(), PD(values, life=start.arguments[0] or 1))

    start_pd.__qualname__ = getattr(hooks, "__name__", type(hooks).__name__)
    return start_pd
