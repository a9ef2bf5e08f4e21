"""A channel: where a server receives messages and pulses in one loop (``ChannelCreate``, ``MsgReceive``, ``MsgReply``).

    channel = Channel(pd, {CLIENT: Peer(priority=100)})
    while True:
        match await channel.receive():
            case Request() as request:
                await request.reply(0, [request.words[0] + 1])
            case Pulse(code=code, value=value):
                ...

A channel is the domain's endpoint with the notification that is bound to it: one wait for both. A *receive ID* is a
``Request``: a reply object that holds the client, and it answers once. A client who gives up waiting is announced as
``Unblock`` with the very request that it means; one that was answered in the meantime is never announced, nor mixed up
with a later one of the same client.

The server's priority follows whom it serves (``priority``). What comes first: the kernel orders messages by their
senders' priorities, a ``PulseQueue`` pulses by theirs. Between the first message and the first pulse the priority of
the ``Peer`` decides, and the pulse if they are equal. To compare them the message must be taken from the kernel, so at
most one client is REPLY-blocked that the program has not seen.
"""

from collections.abc import Mapping
from typing import Final

from attrs import define, field, frozen

from capkernel.user.loop import CHANNEL_MASK, ENDPOINT_BADGE, INPUT_CAP, MAX_CHANNELS, PD, REPLY_CAP
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.qnx.errors import MAX_STATUS, Errno, QnxError, error_message
from servers.qnx.priority import OwnPriority
from servers.qnx.pulses import UNBLOCK, Pulse, PulseQueue, PulseRing

NUMBER_MASK: Final = (1 << 32) - 1


@frozen(kw_only=True)
class Peer:
    """Who is at the other end of a Microkit channel.

    ``priority``: of its messages, and the most that its pulses have. ``ring``: where its pulses come through, if it
    sends any. ``is_system``: whether it may send pulses with the system's codes.
    """

    priority: int = 0
    ring: SharedRegion | None = None
    is_system: bool = False


def unblock_value(connection: int, number: int) -> int:
    """The value of a pulse that says that a client gave up: its connection at the server, its request's number."""
    return connection << 32 | number & NUMBER_MASK


@define(eq=False)
class Request:
    """A message that was received, and the client who is REPLY-blocked on it: a receive ID that is good once.

    ``connection`` says who sent it; ``kind`` and ``words`` are what was sent; ``number`` is the sender's own count.
    ``is_unwanted``: the client has given up waiting (``_NTO_MI_UNBLOCK_REQ``), and still waits until it is answered.
    """

    channel: "Channel" = field(repr=False)
    connection: int
    number: int
    kind: int
    words: tuple[int, ...]
    is_unwanted: bool = False
    _reply_cap: int | None = None

    @property
    def is_answered(self) -> bool:
        """Whether it is used up."""
        return self._reply_cap is None

    async def reply(self, status: int = 0, words: "tuple[int, ...] | list[int]" = ()) -> None:
        """Let the client go on: ``MsgSend`` returns the status, 0 to 2**31 - 1. Raises QnxError ESRCH if it did."""
        if not 0 <= status <= MAX_STATUS:
            raise QnxError(Errno.EINVAL, f"a status is 0 to {MAX_STATUS}, not {status}")
        await self.answer(Message(status, words))

    async def error(self, errno: int) -> None:
        """Let the client go on: its ``MsgSend`` fails with a number. Raises QnxError ESRCH if it went on before."""
        await self.answer(error_message(errno))

    async def answer(self, message: Message) -> None:
        """Answer with a message as it is. Raises QnxError ESRCH."""
        if self._reply_cap is None:
            raise QnxError(Errno.ESRCH, f"request {self.number} of connection {self.connection} was answered")
        cap, self._reply_cap = self._reply_cap, None
        await self.channel.answer(self, cap, message)


@frozen
class Unblock:
    """A client has given up waiting for the reply to ``request``, and waits until it is answered."""

    request: Request


class Channel:
    """Where a domain receives. ``peers``: who is connected, by Microkit channel; others are answered EBADF.

    ``replies``: addresses of further reply objects; so many requests and one more can be held at a time.
    ``own_priority``: how the server takes on the priority of what it receives; without it (``_NTO_CHF_FIXED_PRIORITY``)
    it keeps its own. ``heartbeat``: a channel that is signalled back when it signals, as a sign of life. ``refused``
    counts pulses that their sender may not send.
    """

    def __init__(
        self, pd: PD, peers: Mapping[int, Peer], replies: range = range(0), own_priority: OwnPriority | None = None,
        heartbeat: int | None = None,
    ) -> None:  # fmt: skip
        self.pd = pd
        self.own_priority = own_priority
        self.heartbeat = heartbeat
        self.peers = dict(peers)
        self.pulses = PulseQueue()
        self.refused = 0
        self._rings = {number: PulseRing(pd, peer.ring) for number, peer in peers.items() if peer.ring is not None}
        self._free = [REPLY_CAP, *replies]
        self._held: dict[tuple[int, int], Request] = {}
        self._latest: dict[int, int] = {}
        self._given_up: dict[int, int] = {}
        self._ahead: Request | None = None
        self._has_looked = False

    async def receive(self) -> Request | Pulse | Unblock:
        """Whatever comes next. Raises QnxError EAGAIN if as many requests are held as there are reply objects."""
        if self.own_priority is not None:
            await self.own_priority.wait()
        if not self._has_looked:
            # Pulses that came before this life: nobody signals again for them.
            self._has_looked = True
            await self._collect((1 << MAX_CHANNELS) - 1)
        while True:
            if not self.pulses and self._ahead is None:
                await self._look(blocking=True)
            if self.pulses and self._ahead is None and self._free:
                await self._look(blocking=False)
            found = self._next()
            if found is not None:
                if self.own_priority is not None:
                    await self._follow(self.own_priority, found)
                return found

    async def _follow(self, own_priority: OwnPriority, found: Request | Pulse | Unblock) -> None:
        match found:
            case Pulse(priority=priority):
                await own_priority.follow(priority)
            case Request(connection=connection) | Unblock(request=Request(connection=connection)):
                await own_priority.follow(self.peers[connection].priority, connection)

    async def answer(self, request: Request, cap: int, message: Message) -> None:
        """For ``Request``: send its reply, and have the reply object back."""
        self._held.pop((request.connection, request.number), None)
        await self.pd.sys.send(cap, message)
        self._free.append(cap)

    def unwanted(self, connection: int, number: int) -> Request | None:
        """Which of the requests that are held is meant by an unblock pulse: that one, or none."""
        return self._held.get((connection, number))

    def held(self) -> list[Request]:
        """The requests that are to be answered still, the oldest first."""
        return list(self._held.values())

    def _next(self) -> Request | Pulse | Unblock | None:
        """What is to be looked at first; None if that was of no consequence."""
        ahead = self._ahead
        if ahead is not None and self.peers[ahead.connection].priority > self.pulses.priority:
            self._ahead = None
            return ahead
        if not self.pulses:
            return None
        pulse = self.pulses.pop()
        return self._unblock(pulse.value) if pulse.code == UNBLOCK else pulse

    async def _look(self, *, blocking: bool) -> None:
        """Take what the kernel has; a message becomes the one that is ahead."""
        if not self._free:
            raise QnxError(Errno.EAGAIN, f"{len(self._held)} requests are held, and there is no further reply object")
        receive = self.pd.sys.recv if blocking else self.pd.sys.nbrecv
        message = await receive(INPUT_CAP, self._free[-1])
        if not message.badge & ENDPOINT_BADGE:
            await self._collect(message.badge)
            return
        cap, connection = self._free.pop(), message.badge & CHANNEL_MASK
        if connection not in self.peers or not message.words:
            await self.pd.sys.send(cap, error_message(Errno.EBADF))
            self._free.append(cap)
            return
        number = message.words[0]
        self._latest[connection] = number
        request = Request(self, connection, number, message.label, tuple(message.words[1:]), reply_cap=cap)
        self._held[connection, number] = request
        if self._given_up.pop(connection, None) == number:
            # Its client gave up before it was received.
            await request.error(Errno.ETIMEDOUT)
            return
        self._ahead = request

    async def _collect(self, signals: int) -> None:
        """Take the pulses of those who signalled: a bit each. A sign of life is given."""
        if self.heartbeat is not None and signals >> self.heartbeat & 1:
            await self.pd.notify(self.heartbeat)
        for connection, ring in self._rings.items():
            if signals >> connection & 1:
                for pulse in await ring.take(connection):
                    self._accept(pulse)

    def _accept(self, pulse: Pulse) -> None:
        peer = self.peers[pulse.connection]
        if pulse.code < 0 and not peer.is_system:
            self.refused += 1
            return
        priority = pulse.priority if peer.is_system else min(pulse.priority, peer.priority)
        self.pulses.put(Pulse(pulse.code, pulse.value, priority, pulse.connection))

    def _unblock(self, value: int) -> Unblock | None:
        """A client gave up: announce it if its request is held, remember it if that is still to come."""
        connection, number = value >> 32, value & NUMBER_MASK
        request = self.unwanted(connection, number)
        if request is not None:
            request.is_unwanted = True
            return Unblock(request)
        if number > self._latest.get(connection, 0):
            self._given_up[connection] = number
        return None
