"""Sessions between machines: questions and answers over packets. A value without clock or link: it is told the time.

``Asking`` is this side of a session in which it asks one machine; ``Desk`` keeps those in which others ask it. What a
question's asker learns is one of three things: the answer; that it was never sent (``Unreachable``); or that nobody
knows (``Uncertain``), because the session ended after it was sent.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

from attrs import define, field, frozen

from capkernel.protocols.failures import Busy, Failure
from capkernel.protocols.remote import Uncertain, Unreachable
from capkernel.user.tasks import Condition
from policies.remote import handshake
from policies.remote.delivery import Delivery, DeliveryError
from policies.remote.handshake import SESSION_BYTES, Answer, HandshakeError, Hello, Keys, Kind, Random, Suite
from policies.remote.tokens import Identity

RESEND_US: Final = 20_000
SILENCE_US: Final = 300_000
"""Without a word from a machine that owes one: then the session is over."""
PING_US: Final = 100_000
QUESTIONS: Final = 64
"""On their way in one session."""
GREETINGS: Final = 8
"""Handshakes that a machine may have begun and not ended."""
DEFAULT_SUITES: Final = (int(Suite.ENCRYPTED),)
_NUMBER: Final = struct.Struct("<I")


@frozen
class Machine:
    """Another machine: its name, its gateway's public key, where its packets go (an Ethernet address)."""

    name: str
    key: bytes
    address: bytes


class Checks(handshake.Checks):
    """What sessions verify; a gateway that leaves one out is in ``clients.careless_gateway``."""

    def delivery(self) -> Delivery:
        """How messages arrive once."""
        return Delivery()


@frozen
class Office:
    """What all sessions of a gateway share. ``send`` puts a packet on the link."""

    identity: Identity
    suites: tuple[int, ...]
    random: Random
    send: Callable[[Machine, bytes], None]
    checks: Checks
    now: Callable[[], int]
    """Microseconds, of whatever beginning; never back."""


class Session:
    """One session with keys."""

    def __init__(self, office: Office, machine: Machine, name: bytes, keys: Keys) -> None:
        self.office = office
        self.machine = machine
        self.name = name
        self.keys = keys
        self.delivery = office.checks.delivery()
        self.heard_us = self.sent_us = office.now()

    def put(self, number: int, body: bytes) -> int:
        """Send a message; the number of its last segment. Raises DeliveryError, and ValueError if it is too long."""
        self.delivery.put(_NUMBER.pack(number) + body)
        self.flush()
        return self.delivery.next_number - 1

    def flush(self, *, again: bool = False, ping: bool = False) -> None:
        """Send what is to be sent."""
        for packet in self.delivery.packets(again=again, ping=ping):
            self.sent_us = self.office.now()
            self.office.send(self.machine, self.keys.sending.seal(self.name, packet))

    def take(self, record: bytes) -> list[tuple[int, bytes]]:
        """The messages that a record completes, each with its number. Raises HandshakeError, DeliveryError."""
        messages = self.delivery.take(self.keys.receiving.open(record))
        self.heard_us = self.office.now()
        if any(len(message) < _NUMBER.size for message in messages):
            raise DeliveryError("a message has a number")
        return [(_NUMBER.unpack_from(message)[0], message[_NUMBER.size :]) for message in messages]


@define(eq=False)
class Question:
    """Something that was asked. ``answer`` or ``failure`` is there when ``done`` is notified."""

    last_segment: int
    answer: bytes | None = None
    failure: Failure | None = None
    done: Condition = field(factory=Condition)


class Asking:
    """The sessions in which this machine asks another one: at most one at a time."""

    def __init__(self, office: Office, machine: Machine) -> None:
        self.office = office
        self.machine = machine
        self.session: Session | None = None
        self._greeting: handshake.Asking | None = None
        self._since_us = self._sent_us = 0
        self._confirm = b""
        """Sent again until the other side was heard in the session."""
        self._met = Condition()
        self._questions: dict[int, Question] = {}
        self._number = 0

    async def ask(self, body: bytes) -> bytes:
        """Ask, and wait for the answer; only in a task. Raises Unreachable, Uncertain, Busy."""
        if len(self._questions) >= QUESTIONS:
            raise Busy(f"{self.machine.name} has {QUESTIONS} questions to answer already")
        session = await self._open_session()
        number = self._number = (self._number + 1) % (1 << 32)
        question = self._questions[number] = Question(session.delivery.next_number)
        try:
            question.last_segment = session.put(number, body)
        except DeliveryError:
            self._end()
        while question.answer is None and question.failure is None:
            await question.done.wait()
        if question.answer is None:
            raise question.failure or Unreachable("")
        return question.answer

    async def _open_session(self) -> Session:
        if self._greeting is None and self.session is None:
            office = self.office
            self._greeting = handshake.Asking(office.identity, office.suites, office.random, office.checks)
            self._since_us = office.now()
            self._greet()
        tried = self._greeting
        while self.session is None:
            if self._greeting is None or self._greeting is not tried:
                raise Unreachable(f"{self.machine.name} does not answer; nothing was asked")
            await self._met.wait()
        return self.session

    def _greet(self) -> None:
        if self._greeting is not None:
            self._sent_us = self.office.now()
            self.office.send(self.machine, self._greeting.hello.encode())

    def take(self, packet: bytes) -> None:
        """A packet that may be for this: what is wrong is dropped."""
        name = packet[1 : 1 + SESSION_BYTES]
        try:
            if packet[0] == Kind.ANSWER and self._greeting is not None and self._greeting.hello.session == name:
                answer = Answer.decode(packet)
                keys, self._confirm = self._greeting.answered(answer, self.machine.name, self.machine.key)
                self.session = Session(self.office, self.machine, name, keys)
                self._greeting = None
                self._send_confirm()
                self._met.notify()
            elif packet[0] == Kind.RECORD and self.session is not None and self.session.name == name:
                messages = self.session.take(packet)
                self._confirm = b""
                for number, body in messages:
                    self._answered(number, body)
                self.session.flush()
        except HandshakeError:
            return
        except DeliveryError:
            self._end()

    def _send_confirm(self) -> None:
        if self._confirm:
            self.office.send(self.machine, self._confirm)

    def _answered(self, number: int, body: bytes) -> None:
        question = self._questions.pop(number, None)
        if question is not None:
            question.answer = body
            question.done.notify()

    def tick(self) -> None:
        """Time has passed."""
        now = self.office.now()
        if self._greeting is not None:
            if now - self._since_us >= SILENCE_US:
                self._greeting = None
                self._met.notify()
            elif now - self._sent_us >= RESEND_US:
                self._greet()
        session = self.session
        if session is None or (session.delivery.is_idle and not self._questions):
            if session is not None:
                session.heard_us = now
            return
        if now - session.heard_us >= SILENCE_US:
            self._end()
        elif now - session.sent_us >= RESEND_US:
            self._send_confirm()
            session.flush(again=True, ping=now - session.sent_us >= PING_US)

    def _end(self) -> None:
        """The session is over: say so to whoever waits."""
        session, self.session = self.session, None
        self._confirm = b""
        questions, self._questions = self._questions, {}
        for question in questions.values():
            was_sent = session is not None and question.last_segment < session.delivery.sent
            question.failure = _uncertain(self.machine) if was_sent else _unreachable(self.machine)
            question.done.notify()


def _uncertain(machine: Machine) -> Failure:
    return Uncertain(f"{machine.name} fell silent before it answered: whether it did this is not known")


def _unreachable(machine: Machine) -> Failure:
    return Unreachable(f"{machine.name} does not answer; nothing was done there")


class Desk:
    """The sessions in which others ask this machine, and those that begin. ``asked`` is given each question once, and
    how to answer it.
    """

    def __init__(self, office: Office, asked: Callable[[Machine, bytes, Callable[[bytes], None]], Any]) -> None:
        self.office = office
        self.asked = asked
        self.sessions: dict[str, Session] = {}
        """The last one of each machine, by its name."""
        self._greeted: dict[str, dict[bytes, handshake.Answering]] = {}

    async def take(self, machine: Machine | None, machines: dict[str, Machine], packet: bytes) -> None:
        """A packet that may be for this, from where a machine is said to be: what is wrong is dropped."""
        try:
            if packet[0] == Kind.HELLO:
                self._greet(Hello.decode(packet), machines)
            elif packet[0] == Kind.CONFIRM and machine is not None:
                self._confirm(machine, packet)
            elif packet[0] == Kind.RECORD and machine is not None:
                await self._record(machine, packet)
        except HandshakeError:
            return

    def _greet(self, hello: Hello, machines: dict[str, Machine]) -> None:
        machine = machines.get(hello.name)
        if machine is None:
            return
        begun = self._greeted.setdefault(machine.name, {})
        if hello.session not in begun:
            office = self.office
            begun[hello.session] = handshake.Answering(
                office.identity, hello, office.suites, office.random, office.checks
            )
            while len(begun) > GREETINGS:
                begun.pop(next(iter(begun)))
        if begun[hello.session].hello == hello:
            self.office.send(machine, begun[hello.session].answer.encode())

    def _confirm(self, machine: Machine, packet: bytes) -> None:
        begun = self._greeted.get(machine.name, {})
        name = packet[1 : 1 + SESSION_BYTES]
        if name in begun:
            keys = begun[name].confirmed(packet, machine.key)
            del begun[name]
            self.sessions[machine.name] = Session(self.office, machine, name, keys)
            self.sessions[machine.name].flush(ping=True)

    async def _record(self, machine: Machine, packet: bytes) -> None:
        session = self.sessions.get(machine.name)
        if session is None or session.name != packet[1 : 1 + SESSION_BYTES]:
            return
        try:
            messages = session.take(packet)
        except DeliveryError:
            del self.sessions[machine.name]
            return
        for number, body in messages:
            await self.asked(machine, body, _answering(self, session, number))
        session.flush()

    def tick(self) -> None:
        """Time has passed: answers that were not acknowledged go out again, for a while."""
        now = self.office.now()
        for name, session in list(self.sessions.items()):
            if session.delivery.is_idle:
                session.heard_us = now
            elif now - session.heard_us >= SILENCE_US:
                del self.sessions[name]
            elif now - session.sent_us >= RESEND_US:
                session.flush(again=True)


def _answering(desk: Desk, session: Session, number: int) -> Callable[[bytes], None]:
    def answer(body: bytes) -> None:
        """Nobody is there for an answer in a session that is over."""
        if desk.sessions.get(session.machine.name) is not session:
            return
        try:
            session.put(number, body)
        except DeliveryError:
            del desk.sessions[session.machine.name]

    return answer
