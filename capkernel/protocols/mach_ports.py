"""Ports as Mach has them: queues of messages, and rights to send to them and to receive from them.

A port has one receive right, any number of send rights, and send-once rights, each of which is good for one message.
A right belongs to a *task*, under a name, a number that means nothing to anybody else and is never used twice. Who
wants to use it asks for a cap to it. When the last cap to a right is dropped the right is given up, and so it is when
its task ends. A right can be sent in a message; then the receiver's task has it, under a name of its own.

Sources: K. Loepere, *Mach 3 Kernel Interfaces* (1992), on ports and messages; GNU Mach's reference manual.
"""

from abc import abstractmethod
from enum import Enum
from typing import Final

from attrs import field, frozen

from capkernel.protocols.failures import Failure
from capkernel.protocols.interface import Interface, operation

FOREVER: Final = -1
"""As a time-out: wait as long as it takes. 0 is not at all; any other number is microseconds."""
MAX_INLINE: Final = 640
"""Bytes of data in a message of a task that shares no memory with the port server."""
MAX_PARTS: Final = 3
"""Rights in a message, the one for the answer included: a kernel message carries so many caps."""
DEFAULT_LIMIT: Final = 5
"""Messages in a queue, if nothing else was said (``MACH_PORT_QLIMIT_DEFAULT``)."""

PORT_DELETED: Final = 65
SEND_ONCE: Final = 71
DEAD_NAME: Final = 72
NO_SENDERS: Final = 70
"""What notifications have as their ``id`` (``mach/notify.h``): a name that was asked about is gone otherwise; a
send-once right was given up unused; a port died, to which the task has a right under the name in ``subject``; a port
has no send rights any more, and so many were ever made as ``subject`` says.
"""


class DeadName(Failure, code=80):
    """The port is dead: nobody will ever receive from it."""


class Kind(Enum):
    """What a name stands for."""

    RECEIVE = 1
    SEND = 2
    SEND_ONCE = 3
    PORT_SET = 4
    DEAD_NAME = 5


class Disposition(Enum):
    """How a right goes into a message: the sender's own, a copy of it, or one that is made of the receive right."""

    MOVE_RECEIVE = 16
    MOVE_SEND = 17
    MOVE_SEND_ONCE = 18
    COPY_SEND = 19
    MAKE_SEND = 20
    MAKE_SEND_ONCE = 21


@frozen
class RightInfo:
    """A right that a task has: its name there, and what it is. ``port`` tells ports apart, and is no authority."""

    name: int
    kind: Kind
    port: int = 0


@frozen
class Received:
    """A message: ``id`` and ``data`` are the sender's, or it is a notification, about ``subject``.

    ``local`` is the name of the receive right. ``reply`` is the right for an answer, and ``rights`` are those that came
    otherwise; they belong to the receiver's task now. ``sequence`` counts a port's messages from 1, as they came.
    """

    id: int
    data: bytes = b""
    subject: int = 0
    local: int = 0
    sequence: int = 0
    reply: RightInfo | None = None
    rights: list[RightInfo] = field(factory=list)


@frozen
class Outgoing:
    """What is to be sent. ``parts`` says how each right goes along; with ``has_reply`` the first is for the answer."""

    id: int
    data: bytes = b""
    parts: list[Disposition] = field(factory=list)
    has_reply: bool = False


@frozen
class PortStatus:
    """A port: messages in its queue and how many there may be; rights to it, those in messages included.

    ``made`` counts the send rights that were made of the receive right, ever. ``charged`` is in bytes.
    """

    queued: int
    limit: int
    senders: int
    send_onces: int
    made: int
    charged: int


@frozen
class MessageMemory:
    """A task's memory for messages to ports whose receive rights it has: bytes in all, and in use."""

    quota: int
    used: int


class Right(Interface, number=80):
    """Any right. To drop its last cap is to give it up (``mach_port_deallocate``)."""

    @operation(1)
    @abstractmethod
    async def info(self) -> RightInfo:
        """What it is, and under which name its task has it."""


class SendOnceRight(Right, number=82):
    """A right to send one message. If it is given up instead, or its task ends, the port gets a ``SEND_ONCE``."""

    @operation(10)
    @abstractmethod
    async def send(self, message: Outgoing, timeout_us: int, first: Right, second: Right, third: Right) -> None:
        """Send, and lose the right. It does not wait at the queue's limit. Otherwise as ``SendRight.send``."""


class SendRight(Right, number=81):
    """A right to send messages to a port."""

    @operation(10)
    @abstractmethod
    async def send(self, message: Outgoing, timeout_us: int, first: Right, second: Right, third: Right) -> None:
        """Put a message into the port's queue, with as many of the three rights as its ``parts`` says; the places of
        others hold any right. Waits while the queue is full or its owner has no memory left, after all who wait.

        Either the message is queued and the rights are in it, or a failure is raised and nothing has changed: TimedOut;
        DeadName; TooLarge for the port's owner, ever; Malformed or WrongKind if a right cannot go along so; Gone if the
        right, or one that was to go along, was given up meanwhile; Busy if too many requests wait in the server.
        """

    @operation(11)
    @abstractmethod
    async def copy(self) -> "SendRight":
        """Another send right of this task to the same port. DeadName."""

    @operation(12)
    @abstractmethod
    async def notify_dead(self, notify: SendOnceRight) -> None:
        """Use up ``notify`` for one message: ``DEAD_NAME`` when the port is dead (at once if it is already), or
        ``PORT_DELETED`` if this right is given up or sent away first. AlreadyExists if that was asked for already.
        """


class ReceiveRight(Right, number=83):
    """The right to receive a port's messages. When it is given up the port dies."""

    @operation(10)
    @abstractmethod
    async def receive(self, max_bytes: int, timeout_us: int) -> Received:
        """The next message; waits until there is one. It stays queued if it is refused: TooLarge if it has more than
        ``max_bytes`` of data, QuotaExceeded if the task can have no more rights or cannot pay for a port in it.
        TimedOut; Gone if the right is given up or sent away meanwhile, Busy.
        """

    @operation(11)
    @abstractmethod
    async def make_send(self) -> SendRight:
        """A send right to the port, for this task. QuotaExceeded."""

    @operation(12)
    @abstractmethod
    async def make_send_once(self) -> SendOnceRight:
        """A send-once right to the port, for this task. The room for its message is set aside. QuotaExceeded."""

    @operation(13)
    @abstractmethod
    async def set_limit(self, limit: int) -> None:
        """Let so many messages be queued, 1 to 1024, else Malformed. Those that are queued stay."""

    @operation(14)
    @abstractmethod
    async def status(self) -> PortStatus:
        """How the port stands."""

    @operation(15)
    @abstractmethod
    async def notify_no_senders(self, notify: SendOnceRight, made: int) -> None:
        """Use up ``notify`` for one message: ``NO_SENDERS`` as soon as at least ``made`` send rights were ever made and
        none is left. AlreadyExists if that was asked for already.
        """

    @operation(16)
    @abstractmethod
    async def watch(self) -> None:
        """Signal the channel of this right's task whenever a message is queued, so that it need not wait here.
        Unsupported if the task has no channel that could be signalled.
        """


class PortSet(Right, number=84):
    """Some of a task's receive rights, to wait for messages to any of them."""

    @operation(10)
    @abstractmethod
    async def receive(self, max_bytes: int, timeout_us: int) -> Received:
        """The message that has been queued longest. As ``ReceiveRight.receive``."""

    @operation(11)
    @abstractmethod
    async def insert(self, right: ReceiveRight) -> None:
        """Let a receive right of the same task be in this set, and in no other. WrongKind if it is another task's."""

    @operation(12)
    @abstractmethod
    async def remove(self, right: ReceiveRight) -> None:
        """Take it out. NotFound."""


class Task(Interface, number=85):
    """A task's names for ports. It is known by its channel, and ends when it says so or its host does."""

    @operation(1)
    @abstractmethod
    async def allocate(self, limit: int) -> ReceiveRight:
        """A new port. Malformed if the limit is not 1 to 1024, QuotaExceeded if the task has too many names."""

    @operation(2)
    @abstractmethod
    async def allocate_set(self) -> PortSet:
        """A new port set, which is empty. QuotaExceeded."""

    @operation(3)
    @abstractmethod
    async def send_right(self, name: int) -> SendRight:
        """The send right of that name, also if the port has died. NotFound, WrongKind."""

    @operation(4)
    @abstractmethod
    async def send_once_right(self, name: int) -> SendOnceRight:
        """The send-once right of that name. NotFound, WrongKind."""

    @operation(5)
    @abstractmethod
    async def receive_right(self, name: int) -> ReceiveRight:
        """The receive right of that name. NotFound, WrongKind."""

    @operation(6)
    @abstractmethod
    async def names(self, after: int) -> list[RightInfo]:
        """The rights with names above ``after``, at most 30; none when there are no more."""

    @operation(7)
    @abstractmethod
    async def deallocate(self, name: int) -> None:
        """Give up the right of that name. NotFound if there is none any more."""

    @operation(8)
    @abstractmethod
    async def check_in(self, key: str, right: SendRight) -> None:
        """Let others look up a copy of a right by a key of 1 to 32 characters, as long as its port lives.
        AlreadyExists if there is one; NotPermitted if the description gives the key to another task; DeadName.
        """

    @operation(9)
    @abstractmethod
    async def look_up(self, key: str, timeout_us: int) -> SendRight:
        """A copy of the right that was checked in; waits until one is. TimedOut, QuotaExceeded, Busy."""

    @operation(10)
    @abstractmethod
    async def memory(self) -> MessageMemory:
        """How this task's memory for messages stands."""

    @operation(11)
    @abstractmethod
    async def terminate(self) -> None:
        """Give up all rights, as if the task had ended. It may go on as a new one."""


class Host(Interface, number=86):
    """The port server, for whoever starts and ends tasks. Tasks are named by their channels."""

    @operation(1)
    @abstractmethod
    async def task_ended(self, task: int) -> None:
        """A task is over: it has no rights any more. To be said when it cannot run any more. NotFound."""

    @operation(2)
    @abstractmethod
    async def memory(self, task: int) -> MessageMemory:
        """How a task's memory for messages stands. NotFound."""
