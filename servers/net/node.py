"""The machine in the network: the stack, the time, who waits for what, and who may use how much."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import AddressValueError, IPv4Address
from random import Random
from typing import Final, Protocol, TypeVar

from attrs import define, field

from capkernel.protocols.failures import (
    AlreadyExists,
    Busy,
    Failure,
    Gone,
    Malformed,
    NoSpace,
    NotFound,
    QuotaExceeded,
    Refused,
    TimedOut,
)
from capkernel.protocols.network import INLINE, MAX_PATIENCE
from capkernel.user.inbox import Inbox
from capkernel.user.syscalls import Message, Syscalls
from capkernel.user.tasks import Condition
from servers.net.lwip.stack import EchoReply, NetError, Reason, Socket, Stack

TICKS_PER_MS: Final = 10_000
TICKS_PER_US: Final = 10
LISTENERS: Final = 4
DATAGRAMS: Final = 4
WAITING: Final = 3
"""Requests of a session that may wait at a time."""
BUFFERED: Final = 1 << 18
"""Bytes of a session that may wait to be sent or read; beyond, nothing more is taken from it to be sent."""
T = TypeVar("T")
S = TypeVar("S", bound=Socket)

_FAILURES: Final[dict[Reason, type[Failure]]] = {
    Reason.OutOfMemory: NoSpace, Reason.NoBuffer: NoSpace, Reason.TimedOut: TimedOut, Reason.GaveUp: TimedOut,
    Reason.NoRoute: NotFound, Reason.InvalidValue: Malformed, Reason.InvalidArgument: Malformed,
    Reason.AddressInUse: AlreadyExists, Reason.Reset: Gone, Reason.Closed: Gone, Reason.NotConnected: Gone,
    Reason.Refused: Refused,
}  # fmt: skip
_WORDS: Final = {
    Reason.Reset: "the peer reset the connection", Reason.Refused: "the peer does not want the connection",
    Reason.GaveUp: "the peer does not answer", Reason.NoRoute: "there is no way to this address",
    Reason.AddressInUse: "this port is taken",
}  # fmt: skip


def failure_of(error: NetError) -> Failure:
    """What a client is told of an error of the stack. Raises it again if it is not about the client."""
    kind = _FAILURES.get(error.reason)
    if kind is None:
        raise error
    return kind(_WORDS.get(error.reason, str(error)))


@contextmanager
def told() -> Iterator[None]:
    """Errors of the stack become failures."""
    try:
        yield
    except NetError as error:
        raise failure_of(error) from None


def checked_port(port: int, least: int = 1) -> int:
    """A port that can be one. Raises Malformed."""
    if not least <= port <= 65535:
        raise Malformed(f"a port is {least} to 65535, not {port}")
    return port


def checked_address(address: str) -> IPv4Address:
    """An address to which one may send. Raises Malformed."""
    try:
        found = IPv4Address(address)
    except (AddressValueError, ValueError):
        raise Malformed(f"{address!r} is no IPv4 address") from None
    if found.is_multicast or found.is_unspecified or int(found) == 0xFFFF_FFFF:
        raise Malformed(f"{address} is nobody's address")
    return found


class Buffering(Protocol):
    """What holds bytes for a session."""

    @property
    def buffered(self) -> int:
        """How many."""
        ...


class Leaving(Buffering, Protocol):
    """A connection that was closed here, and still has something to send."""

    def abort(self) -> None:
        """Give it up at once."""
        ...


@define(eq=False)
class Account:
    """What a session uses, and may use. ``changed`` is notified whenever something of it may go on.

    ``answer`` is how many bytes go into one answer: more if memory is shared with the client.
    """

    most_streams: int
    answer: int = INLINE
    streams: int = 0
    listeners: int = 0
    datagrams: int = 0
    waiting: int = 0
    holders: "list[Buffering]" = field(factory=list)
    leaving: "list[Leaving]" = field(factory=list)
    """They count as streams, but make way for new ones."""
    changed: Condition = field(factory=Condition)

    def need(self, what: str) -> None:
        """Raise QuotaExceeded if there may be no more of a kind."""
        if what == "streams" and self.streams + len(self.leaving) >= self.most_streams and self.leaving:
            self.leaving[0].abort()
        have = getattr(self, what)
        if have >= {"streams": self.most_streams, "listeners": LISTENERS, "datagrams": DATAGRAMS}[what]:
            raise QuotaExceeded(f"this client has {have} {what} open; close some")

    def allowance(self, buffered: int) -> int:
        """How many bytes more may be queued where so many are.

        Half of all are streams' in equal shares, the other half is whose it is first: so peers who take nothing cannot
        keep others from being sent something.
        """
        share = BUFFERED // 2 // max(1, self.most_streams)
        taken = sum(max(0, holder.buffered - share) for holder in self.holders)
        return max(0, share - buffered) + max(0, BUFFERED // 2 - taken)

    @contextmanager
    def one_waiting(self) -> Iterator[None]:
        """While a request waits. Raises Busy."""
        if self.waiting >= WAITING:
            raise Busy(f"{self.waiting} requests of this client wait already")
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1


@define(eq=False)
class Begun:
    """How far a request has come that waits, so that another program can go on with it: until when it waits (ms), for
    which socket, and numbers of its own.
    """

    deadline: int | None = None
    socket: int = 0
    number: int = 0
    step: int = 0


class Watched:
    """Something of which a client can be told: a notification that it gave is signalled when there is news."""

    def __init__(self, node: "Node", account: Account) -> None:
        self.node = node
        self.account = account
        self._watcher: int | None = None

    async def watch(self, notification: int) -> None:
        """Signal this from now on."""
        await self.unwatch()
        self._watcher = notification
        self.node.news[self] = None

    @property
    def watcher(self) -> int | None:
        """Whom it signals, by the address of the cap."""
        return self._watcher

    def still_watched(self, notification: int) -> None:
        """It was watched in a former life: there is nothing new to tell."""
        self._watcher = notification

    async def unwatch(self) -> None:
        """Signal nothing any more."""
        if self._watcher is not None:
            watcher, self._watcher = self._watcher, None
            await self.node.inbox.discard(watcher)
        self.node.news.pop(self, None)

    async def end(self) -> None:
        """Nobody can ask for this any more: whoever waits or watches is told, once."""
        self.account.changed.notify()
        await self.signal(self.node.sys)
        await self.unwatch()

    def happened(self) -> None:
        """There is news."""
        self.account.changed.notify()
        self.node.news[self] = None

    async def signal(self, sys: Syscalls) -> None:
        """Tell the watcher. Whatever the cap is that it gave, this cannot wait, and does no more than a signal."""
        if self._watcher is not None:
            await sys.nbsend(self._watcher, _SIGNAL)


_SIGNAL: Final = Message()


class Node:
    """The machine, for its sockets. ``make`` makes its stack, which asks it for the time."""

    def __init__(
        self, sys: Syscalls, inbox: Inbox, nameserver: str, chance: Random, ticks: int,
        make: Callable[[Callable[[], int]], Stack],
    ) -> None:  # fmt: skip
        self.sys = sys
        self.inbox = inbox
        self.nameserver = nameserver
        self.chance = chance
        self.ticks = ticks
        self.stack = make(lambda: self.now)
        self.sockets: dict[Socket, Watched] = {}
        self.news: dict[Watched, None] = {}
        self.begun = Begun()
        """Of the request that begins now; for an operation to take at its start, before it waits."""
        self.echoes: dict[tuple[int, int], Callable[[EchoReply], None]] = {}
        """Who waits for the answer to which ping, by its numbers."""
        self._alarms: list[tuple[int, Condition]] = []

    @property
    def now(self) -> int:
        """Milliseconds since the machine was started."""
        return self.ticks // TICKS_PER_MS

    async def until(
        self, account: Account, ready: Callable[[], T | None], patience: int, begun: Begun | None = None
    ) -> T:
        """Wait until something is there. Raises TimedOut, Busy, Malformed, and what ``ready`` raises."""
        if not 0 <= patience <= MAX_PATIENCE:
            raise Malformed(f"a patience is 0 to {MAX_PATIENCE} ms, not {patience}")
        if begun is None:
            begun = self.begun
        if begun.deadline is None:
            begun.deadline = self.now + patience
        deadline = begun.deadline
        while (found := ready()) is None:
            if self.now >= deadline:
                raise TimedOut(f"nothing for {patience} ms")
            alarm = (deadline, account.changed)
            with account.one_waiting():
                self._alarms.append(alarm)
                try:
                    await account.changed.wait()
                finally:
                    self._alarms.remove(alarm)
        return found

    def ring_alarms(self) -> None:
        """Let those look again whose patience is over."""
        for deadline, condition in list(self._alarms):
            if deadline <= self.now:
                condition.notify()

    def take_news(self) -> None:
        """See what the stack has for its sockets."""
        for socket, _ in self.stack.changes():
            watched = self.sockets.get(socket)
            if watched is not None:
                watched.happened()
        for reply in self.stack.echo_replies():
            answered = self.echoes.get((reply.identifier, reply.sequence))
            if answered is not None:
                answered(reply)

    def former(self, begun: Begun, kind: type[S]) -> S | None:
        """The socket for which a request has waited in a former life; None if it begins only now. Raises Gone."""
        if not begun.socket:
            return None
        found = self.stack.sockets().get(begun.socket)
        if not isinstance(found, kind) or found in self.sockets:
            raise Gone("what this request waited for is not there any more")
        return found

    async def tell(self) -> None:
        """Signal to those who watch."""
        while self.news:
            watched, _ = self.news.popitem()
            await watched.signal(self.sys)
