"""A driver on a bench: its program runs against the devices of a machine, without a kernel; clients are called by hand.

What the kernel would do is done here for the few system calls that a driver makes: signals, interrupts acknowledged,
replies, caps minted for clients. Everything else is a mistake of the driver, and an AssertionError.
"""

import struct
from collections.abc import Awaitable, Mapping
from types import ModuleType, coroutine
from typing import Any

from capkernel.abi import labels
from capkernel.abi import message as msg
from capkernel.abi import syscalls as sc
from capkernel.abi.words import WORD_MASK
from capkernel.protocols.client import Connection, connect
from capkernel.user import operations as ops
from capkernel.user.loop import (
    BASE_IRQ_CAP,
    BASE_OUTPUT_NOTIFICATION_CAP,
    ENDPOINT_BADGE,
    IPC_BUFFER,
    PD,
)
from capkernel.user.operations import steps_of
from capkernel.user.pdimage import PDValues
from capkernel.user.syscalls import Message
from hwmodel.backend import BufferBackend
from hwmodel.board import find_board
from hwmodel.machine import Machine
from tests.servers.stepping import run_steps
from tests.servers.variables import set_variable

BUFFER = range(IPC_BUFFER, IPC_BUFFER + 0x1000)
IRQ, HEARTBEAT = 0, 1
ASK = "ask"
SIGNAL_CHANNELS = 62


class Asked:
    """What a client asks for, while it is under way."""

    def __init__(self, bench: "Bench", awaitable: Awaitable[Any]) -> None:
        self.bench = bench
        self.steps = steps_of(awaitable)
        self.is_over = False
        self.value: Any = None
        self.error: Exception | None = None

    @property
    def result(self) -> Any:
        """What came of it."""
        assert self.is_over, "there is no answer yet"
        if self.error is not None:
            raise self.error
        return self.value

    def go_on(self, reply: Message | None = None) -> None:
        try:
            kind, badge, message = self.steps.send(reply)
        except StopIteration as end:
            self.is_over, self.value = True, end.value
            self.bench.finished.append(self)
        except Exception as error:
            self.is_over, self.error = True, error
            self.bench.finished.append(self)
        else:
            assert kind == ASK
            self.bench.deliver(badge, message, self.go_on)


class _ClientCalls:
    """The system calls of a client: he calls, and the address of a cap is its badge."""

    @coroutine
    def call(self, cap: int, message: Message) -> Any:
        return (yield ASK, cap, message)


class _ClientInbox:
    """Where a client's caps land: the badge that came is the address."""

    async def open(self) -> None:
        pass

    async def refuse(self, reply: Message) -> None:
        pass

    async def discard(self, cap: int) -> None:
        pass

    async def take(self, reply: Message) -> int | None:
        return reply.badge or None


class Bench:
    """One driver, ``module.Program``, whose registers are those of ``window``; ``settings`` are set as a loader would.

    ``signals`` are the channels that it signalled, ``finished`` what clients asked for and got, both in order.
    ``former`` is the bench of the program before: who still waits there waits here.
    """

    def __init__(
        self, module: ModuleType, window: str, *, board: str, devices: Mapping[str, Any] | None = None,
        life: int = 1, machine: Machine | None = None, former: "Bench | None" = None, **settings: int,
    ) -> None:  # fmt: skip
        self.line = BufferBackend()
        self.machine = machine or Machine(find_board(board), uart_backend=self.line, devices=devices)
        if machine is not None:
            self.line = machine.uart_backend
        self.window = self.machine.board.device(window)
        for name, value in {"registers": self.window.region.base, **settings}.items():
            set_variable(module, name, value)
        self.program = module.Program()
        notifications = sum(1 << channel for channel in range(SIGNAL_CHANNELS))
        self.pd = PD(PDValues(name=module.__name__, notifications=notifications, irqs=1 << IRQ), life=life)
        self.signals: list[int] = []
        self.finished: list[Asked] = []
        self._buffer = bytearray(len(BUFFER))
        self.asked: list[Asked] = [] if former is None else former.asked
        for asked in self.asked:
            asked.bench = self
        self._callers: dict[int, Any] = {} if former is None else former._callers
        self._minted: dict[int, int] = {}
        self.run(self.program.init(self.pd))
        self.machine.mask_irq(self.window.irq, False)
        self.settle()

    # What tests call

    def client(self, interface: Any, channel: int) -> Any:
        """The driver as a client on that channel has it."""
        connection: Any = Connection(_ClientCalls(), _ClientInbox())
        return connect(interface, connection, ENDPOINT_BADGE | channel)

    def ask(self, awaitable: Awaitable[Any]) -> Asked:
        """Begin something as a client, and let happen what happens at once."""
        asked = Asked(self, awaitable)
        self.asked.append(asked)
        asked.go_on()
        self.settle()
        return asked

    def call(self, awaitable: Awaitable[Any]) -> Any:
        """The same for something that is answered at once."""
        return self.ask(awaitable).result

    def type(self, text: str) -> None:
        """Keys arrive, as fast as the driver takes them."""
        self.line.feed(text.encode())
        while self.machine.poll_input():
            self.advance(1000)

    def shown(self) -> str:
        """What the terminal got since it was asked last."""
        text = self.line.text
        self.line.output.clear()
        return text

    def heartbeat(self) -> None:
        """Ask for a sign of life."""
        self.signals.clear()
        self.run(self.program.notified(self.pd, HEARTBEAT))
        self.settle()
        assert HEARTBEAT in self.signals

    def advance(self, us: int) -> None:
        """Let time pass, with all that happens meanwhile."""
        until = self.machine.now() + 10 * us
        while True:
            event = self.machine.events.next_event()
            self.machine.advance(max(0, min(until, until if event is None else event) - self.machine.now()))
            self.settle()
            event = self.machine.events.next_event()
            if self.machine.now() >= until and (event is None or event > until):
                return

    def settle(self) -> None:
        """Serve interrupts until there are none. It takes no time, unless they are very many: a storm is to end."""
        for served in range(10_000):
            if served > 50:
                self.machine.advance(100)
            irq = self.machine.irqchip.claim()
            if not irq:
                return
            assert irq == self.window.irq
            self.run(self.program.notified(self.pd, IRQ))
        raise AssertionError("the interrupts do not end")

    # What the kernel would do

    def deliver(self, badge: int, message: Message, answer: Any) -> None:
        """A call reaches the driver."""
        request = Message(message.label, tuple(message.words))
        request.badge = badge
        reply_cap = self.pd.reply_cap
        self._callers[reply_cap] = answer
        reply = self.run(self.program.protected(self.pd, badge & 0x3F, request))
        if isinstance(reply, Message):
            self._callers.pop(reply_cap)(_copied(reply))

    def run(self, awaitable: Any) -> Any:
        """Run something of the driver's."""
        return run_steps(awaitable, self._step)

    def _step(self, kind: int, *arguments: Any) -> Any:
        match kind:
            case ops.LOAD:
                return self.machine.bus.read(*arguments)
            case ops.STORE:
                return self.machine.bus.write(*arguments)
            case ops.READ if arguments[0] in BUFFER:
                start = arguments[0] - IPC_BUFFER
                return bytes(self._buffer[start : start + arguments[1]])
            case ops.WRITE if arguments[0] in BUFFER:
                start = arguments[0] - IPC_BUFFER
                self._buffer[start : start + len(arguments[1])] = arguments[1]
                return None
            case ops.READ:
                return self.machine.read_bytes(*arguments)
            case ops.WRITE:
                return self.machine.write_bytes(*arguments)
            case ops.CLOCK:
                return self.machine.now()
        return self._system_call(kind, *arguments)

    def _system_call(self, number: int, dest: int, info: int, *registers: int) -> Any:
        message, caps = self._sent(info, registers)
        if number == sc.SEND & WORD_MASK and dest in self._callers:
            if caps:
                message.badge = self._minted[caps[0]]
            self._callers.pop(dest)(message)
        elif number == sc.SEND & WORD_MASK:
            channel = dest - BASE_OUTPUT_NOTIFICATION_CAP
            assert channel in range(SIGNAL_CHANNELS), f"the driver sends to cap {dest}"
            self.signals.append(channel)
        else:
            assert number == sc.CALL & WORD_MASK
            self._invocation(dest, message)
        return (0,) * 6

    def _invocation(self, dest: int, message: Message) -> None:
        if message.label == labels.IRQ_HANDLER_ACK:
            assert dest == BASE_IRQ_CAP + IRQ
            self.machine.complete_irq(self.window.irq)
        elif message.label == labels.CNODE_MINT:
            self._minted[message.words[0]] = message.words[5]
        else:
            assert message.label == labels.CNODE_DELETE

    def _sent(self, info: int, registers: tuple[int, ...]) -> tuple[Message, tuple[int, ...]]:
        count, caps = info & msg.LENGTH_MASK, msg.info_extra_caps(info)
        words = struct.unpack_from(f"<{msg.MSG_MAX_LENGTH}Q", self._buffer, msg.BUFFER_MSG)
        message = Message(info >> msg.LABEL_SHIFT, (*registers[:4], *words[4:])[:count])
        return message, struct.unpack_from(f"<{caps}Q", self._buffer, msg.BUFFER_CAPS)


def _copied(message: Message) -> Message:
    return Message(message.label, tuple(message.words))
