"""A TCP/IP stack on one network interface, driven from outside: frames and times go in, frames come out.

::

    stack = Stack(mac, now=clock, send=wire.append, address="10.0.2.15/24", gateway="10.0.2.2", seed=7)
    listener = stack.listen(80)
    due = stack.poll()                    # runs what is due; ms until the next timer, None if there is none
    stack.input(frame)
    for socket, change in stack.changes():
        if socket is listener: connection = listener.accept()
        elif Change.READABLE in change: connection.send(connection.receive())

Nothing blocks and nothing calls back but `now` and `send`, which are called when lwIP has been left: an exception in
them goes to whoever called the stack, and the stack is none the worse for it. Times are whole virtual milliseconds. The
same seed, times, frames and calls give the same frames. A stack belongs to one thread; several stacks are independent.
"""

import enum
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Interface
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import attrs

from servers.net.lwip import AVAILABLE, WHY_NOT

if TYPE_CHECKING or AVAILABLE:
    from servers.net.lwip._lwip import ffi, lib

if TYPE_CHECKING:
    from servers.net.lwip._lwip import Info, SocketPointer, StackPointer

MTU = 1500
"""The largest IP packet on the wire, in bytes; a frame has 14 more."""

DATAGRAM_LIMIT = 65507
"""The largest payload of a UDP datagram; beyond 1472 bytes it travels in fragments."""


class Reason(enum.IntEnum):
    """Why something could not be done. The numbers down to -16 are lwIP's own."""

    OutOfMemory = -1
    """A pool is empty; `Stack.statistics` says which."""
    NoBuffer = -2
    TimedOut = -3
    NoRoute = -4
    InProgress = -5
    InvalidValue = -6
    WouldBlock = -7
    AddressInUse = -8
    AlreadyConnecting = -9
    AlreadyConnected = -10
    NotConnected = -11
    InterfaceError = -12
    GaveUp = -13
    """The peer did not answer in time, or lwIP needed the memory."""
    Reset = -14
    """The peer reset the connection."""
    Closed = -15
    """This end was closed before."""
    InvalidArgument = -16
    Broken = -100
    """An assertion of lwIP failed; the stack can only be closed."""
    Busy = -101
    """Another thread is inside lwIP."""
    Refused = -103
    """The peer refused the connection."""


class NetError(Exception):
    """Something could not be done; `reason` says why."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.name}: {detail}" if detail else reason.name)
        self.reason = reason


class Unavailable(Exception):
    """lwIP was not built here."""


class Change(enum.Flag):
    """What happened to a socket."""

    CONNECTED = 2
    """The peer took the connection."""
    READABLE = 4
    """Bytes or a datagram arrived; for a listener: a connection waits."""
    WRITABLE = 8
    """The peer acknowledged bytes, so there is room again."""
    ENDED = 16
    """The peer will send no more."""
    FAILED = 32
    """The connection is gone; `Connection.error` says why."""


class Endpoint(NamedTuple):
    """An address and a port."""

    address: IPv4Address
    port: int


@attrs.frozen
class Use:
    """How much of a pool is used, was used at most, and may be used; how often it was empty."""

    used: int
    peak: int
    limit: int
    refused: int


@attrs.frozen
class EchoReply:
    """An answer to a ping."""

    address: IPv4Address
    identifier: int
    sequence: int
    payload: bytes


Address = IPv4Address | str


def _number(address: Address) -> int:
    """An address as lwIP's glue wants it."""
    return int(IPv4Address(address))


def _failure(code: int) -> NetError:
    """The error that a negative result means."""
    return NetError(Reason(code))


class Socket:
    """What all sockets share. After `close` every use fails with `Reason.Closed`."""

    __slots__ = ("_id", "_pointer", "_stack", "local")

    def __init__(self, stack: "Stack", pointer: "SocketPointer") -> None:
        self._stack = stack
        self._pointer: SocketPointer | None = pointer
        info = stack._info(pointer)
        self._id = info.id
        self.local = Endpoint(IPv4Address(info.local_address), info.local_port)
        """This end; the address of a listener and of a UDP socket is 0.0.0.0."""
        stack._sockets[self._id] = self

    @property
    def _here(self) -> "SocketPointer":
        """The glue's socket, while there is one."""
        if self._pointer is None:
            raise NetError(Reason.Closed)
        return self._pointer

    @property
    def number(self) -> int:
        """By which it is known as long as its stack, or one that took that one's place, is there."""
        return self._id

    @property
    def closed(self) -> bool:
        """Whether this end was closed."""
        return self._pointer is None

    def close(self) -> None:
        """Let go of the socket; a TCP connection sends what is queued, then its FIN (a reset if bytes are unread)."""
        self._release(abort=False)

    def _release(self, *, abort: bool) -> None:
        if self._pointer is None:
            return
        pointer, when = self._pointer, self._stack._time()
        self._stack._forget(self)
        self._stack._done(lib.net_release(pointer, when, abort))

    def _changed(self, flags: int) -> None:
        """Note what the glue says."""
        self._stack._changes[self] = self._stack._changes.get(self, Change(0)) | Change(flags)


S = TypeVar("S", bound=Socket)


class Connection(Socket):
    """One end of a TCP connection."""

    __slots__ = ("connected", "ended", "error", "peer")

    def __init__(self, stack: "Stack", pointer: "SocketPointer", *, connected: bool) -> None:
        super().__init__(stack, pointer)
        info = stack._info(pointer)
        self.peer = Endpoint(IPv4Address(info.remote_address), info.remote_port)
        self.connected = connected
        self.ended = False
        """Whether the peer's FIN arrived; bytes from before it may still be unread."""
        self.error: NetError | None = None

    @property
    def room(self) -> int:
        """How many bytes `send` takes at most now."""
        return 0 if self._pointer is None else self._stack._info(self._pointer).room

    @property
    def unread(self) -> int:
        """How many bytes `receive` can return now."""
        return 0 if self._pointer is None else self._stack._info(self._pointer).unread

    @property
    def at_end(self) -> bool:
        """Whether all that the peer will ever send was received."""
        return (self.ended or self.error is not None) and not self.unread

    def send(self, data: bytes) -> int:
        """Queue the beginning of `data` for sending, and return how many bytes; after 0, wait for WRITABLE."""
        return self._stack._done(lib.net_send(self._here, self._stack._time(), data, len(data)))

    def receive(self, limit: int = 65535) -> bytes:
        """Return at most `limit` bytes that arrived, and open the window for as many more."""
        stack = self._stack
        size = lib.net_receive(self._here, stack._time(), stack._scratch, min(limit, 65535))
        data = bytes(ffi.buffer(stack._scratch, max(size, 0)))
        stack._done(size)
        return data

    def shutdown(self) -> None:
        """Send no more: the peer gets a FIN after what is queued. Receiving goes on."""
        self._stack._done(lib.net_shutdown(self._here, self._stack._time()))

    def abort(self) -> None:
        """Reset the connection and let go of the socket."""
        self._release(abort=True)

    def _changed(self, flags: int) -> None:
        change = Change(flags)
        self.connected |= Change.CONNECTED in change
        self.ended |= Change.ENDED in change
        if Change.FAILED in change:
            self.error = _failure(self._stack._info(self._here).error)
        super()._changed(flags)


class Listener(Socket):
    """Takes TCP connections to a port. A SYN that finds the backlog full is dropped, so the peer repeats it."""

    __slots__ = ("_waiting",)

    def __init__(self, stack: "Stack", pointer: "SocketPointer") -> None:
        super().__init__(stack, pointer)
        self._waiting: deque[Connection] = deque()

    @property
    def waiting(self) -> tuple[Connection, ...]:
        """The connections that nobody has accepted yet."""
        return tuple(self._waiting)

    def accept(self) -> Connection | None:
        """The connection that has waited longest, if any waits."""
        if not self._waiting:
            return None
        connection = self._waiting.popleft()
        if connection._pointer is not None:
            lib.net_taken(connection._pointer)
        return connection

    def close(self) -> None:
        """Take no more connections, and reset those that wait."""
        while self._waiting:
            self._waiting.popleft().abort()
        super().close()


class UdpSocket(Socket):
    """Sends and receives UDP datagrams. At most 64 wait to be received; what comes then is dropped and counted."""

    __slots__ = ()

    def send(self, data: bytes, address: Address, port: int) -> None:
        """Send one datagram of at most `DATAGRAM_LIMIT` bytes."""
        when = self._stack._time()
        self._stack._done(lib.net_send_to(self._here, when, _number(address), port, data, len(data)))

    def receive(self) -> tuple[bytes, Endpoint] | None:
        """The datagram that has waited longest, and where it came from."""
        return self._stack._receive_from(self._here)

    @property
    def dropped(self) -> int:
        """How many datagrams found no room."""
        return self._stack._info(self._here).dropped


class Stack:
    """A network interface with IPv4: ARP, ICMP (it answers pings), UDP, TCP."""

    def __init__(
        self,
        mac: bytes,
        now: Callable[[], int],
        send: Callable[[bytes], None],
        *,
        address: IPv4Interface | str,
        gateway: Address | None = None,
        seed: int = 0,
        limits: Mapping[str, int] = {},
        announces: bool = True,
    ) -> None:
        """`mac` has 6 bytes; `seed` decides initial sequence numbers and the first ports.

        `limits` are limits of pools other than the usual ones, by their names in `statistics`. Who takes the place of
        another stack (`kept`) does not announce itself. Raises `Unavailable` where lwIP was not built.
        """
        self._stack: StackPointer | None = None
        self._sockets: dict[int, Socket] = {}
        self._outgoing: deque[bytes] = deque()
        if not AVAILABLE:
            raise Unavailable(WHY_NOT)
        if len(mac) != 6 or mac[0] & 1:
            raise NetError(Reason.InvalidValue, "a MAC address has 6 bytes, and the lowest bit of the first is 0")
        self.mac = mac
        self.interface = IPv4Interface(address)
        self._now = now
        self._send = send
        self._sending = False
        self._changes: dict[Socket, Change] = {}
        self._scratch = ffi.new("uint8_t[65536]")
        self._flags, self._number, self._other = ffi.new("int *"), ffi.new("uint32_t *"), ffi.new("uint32_t *")
        self._records = ffi.new("uint8_t **")
        self._details = ffi.new("net_socket_info *")
        network = (int(self.interface.ip), int(self.interface.netmask), _number(gateway or "0.0.0.0"))
        pointer = lib.net_open(mac, *network, seed & (1 << 64) - 1, self._time())
        if not pointer:
            raise NetError(Reason.OutOfMemory)
        self._stack = pointer
        for name, limit in limits.items():
            lib.net_limit_pool(pointer, self._pools()[name], limit)
        if announces:
            self._drain(lib.net_waiting(pointer))

    # What drives it

    def input(self, frame: bytes) -> None:
        """Take one frame from the wire. Malformed ones, and those that are for another, are dropped."""
        status = lib.net_input(self._here, self._time(), frame, len(frame))
        if status > 0:
            self._drain(status)
        elif status < 0:
            self._done(status)

    def poll(self) -> int | None:
        """Run the timers that are due; in how many milliseconds the next one is, if there is one."""
        status = lib.net_poll(self._here, self._time())
        if status < 0:
            self._done(status)
        self._drain(status)
        due = lib.net_due(self._here, self._time())
        return None if due < 0 else due

    def changes(self) -> list[tuple[Socket, Change]]:
        """What happened to which socket since the last call, in the order in which it began."""
        changes, self._changes = self._changes, {}
        return list(changes.items())

    def close(self) -> None:
        """Free everything at once, sending nothing."""
        if self._stack is None:
            return
        for socket in list(self._sockets.values()):
            self._forget(socket)
        stack, self._stack = self._stack, None
        self._outgoing.clear()
        lib.net_close(stack)

    def __del__(self) -> None:
        # What else is garbage with it may still close its sockets; they know by then that they are closed.
        self.close()

    # Sockets

    def connect(self, address: Address, port: int, *, local_port: int = 0) -> Connection:
        """Begin to connect; CONNECTED or FAILED tells the end of it. Bytes may be queued at once."""
        number = _number(address)
        pointer = lib.net_connect(self._here, self._time(), number, port, local_port, self._flags)
        return self._opened(Connection(self, self._made(pointer), connected=False))

    def listen(self, port: int, backlog: int = 8) -> Listener:
        """Take connections to `port`, 0 for any; at most `backlog` wait for `Listener.accept`, half-open ones too."""
        pointer = lib.net_listen(self._here, self._time(), port, backlog, self._flags)
        return self._opened(Listener(self, self._made(pointer)))

    def udp(self, port: int = 0) -> UdpSocket:
        """A socket for datagrams at `port`, 0 for any free one."""
        return self._opened(UdpSocket(self, self._made(lib.net_udp(self._here, self._time(), port, self._flags))))

    def ping(self, address: Address, *, identifier: int, sequence: int, payload: bytes = b"") -> None:
        """Send an ICMP echo request; `echo_replies` has the answer when it has come."""
        when = self._time()
        size = len(payload)
        self._done(lib.net_ping(self._here, when, _number(address), identifier, sequence, payload, size))

    def echo_replies(self) -> Iterator[EchoReply]:
        """Take the echo replies that arrived, at most 64 since the last call."""
        while reply := self._receive_from(lib.net_echoes(self._here)):
            message, (address, _) = reply
            identifier, sequence = (int.from_bytes(message[at : at + 2], "big") for at in (4, 6))
            yield EchoReply(address, identifier, sequence, message[8:])

    # What is known of it

    def sockets(self) -> dict[int, Socket]:
        """The sockets that are open, by their numbers."""
        return dict(self._sockets)

    def statistics(self) -> dict[str, Use]:
        """The use of each pool. A connection's buffer for received bytes comes on top: 64 KB where bytes arrived."""
        uses = {name: lib.net_pool_use(self._here, pool) for name, pool in self._pools().items()}
        return {name: Use(use.used, use.peak, use.limit, use.refused) for name, use in uses.items()}

    # Inside

    @staticmethod
    def _pools() -> dict[str, int]:
        """The numbers of the pools, by name."""
        return {ffi.string(lib.net_pool_name(pool)).decode(): pool for pool in range(lib.net_pools())}

    @property
    def _here(self) -> "StackPointer":
        if self._stack is None:
            raise NetError(Reason.Closed, "the stack was closed")
        return self._stack

    def _time(self) -> int:
        """The virtual time, as lwIP counts it."""
        return self._now() & 0xFFFF_FFFF

    def _made(self, pointer: "SocketPointer") -> "SocketPointer":
        """A socket that was asked for, or the error why there is none."""
        if not pointer:
            self._done(self._flags[0])
        return pointer

    def _opened(self, socket: S) -> S:
        self._drain(lib.net_waiting(self._here))
        return socket

    def _info(self, pointer: "SocketPointer") -> "Info":
        lib.net_info(pointer, self._details)
        return self._details

    def _forget(self, socket: Socket) -> None:
        socket._pointer = None
        self._sockets.pop(socket._id, None)
        self._changes.pop(socket, None)

    def _receive_from(self, pointer: "SocketPointer") -> tuple[bytes, Endpoint] | None:
        size = lib.net_receive_from(pointer, self._scratch, 65536, self._number, self._other)
        if size < 0:
            return None
        return bytes(ffi.buffer(self._scratch, size)), Endpoint(IPv4Address(self._number[0]), self._other[0])

    def _done(self, result: int) -> int:
        """After a call: hand on what waits, and raise the error that the result may mean."""
        self._drain(lib.net_waiting(self._here))
        if result == Reason.Broken:
            raise NetError(Reason.Broken, ffi.string(lib.net_failed_assertion(self._here)).decode().strip())
        if result < 0:
            raise _failure(result)
        return result

    def _drain(self, status: int) -> None:
        """Fetch what waits in the glue, and send the frames."""
        if status & lib.NET_CHANGES:
            self._fetch_changes()
        if status & lib.NET_FRAMES:
            size = lib.net_frames(self._here, self._records)
            records = bytes(ffi.buffer(self._records[0], size))
            at = 0
            while at < size:
                end = at + 2 + records[at] + (records[at + 1] << 8)
                self._outgoing.append(records[at + 2 : end])
                at = end
        if self._outgoing and not self._sending:
            self._send_all()

    def _send_all(self) -> None:
        """Send in order. `send` may well lead to further calls of this stack: their frames wait for this loop."""
        self._sending = True
        try:
            while self._outgoing:
                self._send(self._outgoing.popleft())
        finally:
            self._sending = False

    def _fetch_changes(self) -> None:
        while pointer := lib.net_change(self._here, self._number, self._flags):
            flags = self._flags[0]
            if flags & lib.NET_ACCEPTED:
                self._accepted(pointer)
                flags &= ~lib.NET_ACCEPTED
            socket = self._sockets.get(self._number[0])
            if socket is not None and flags:
                socket._changed(flags)

    def _accepted(self, pointer: "SocketPointer") -> None:
        listener = self._sockets[self._info(pointer).listener]
        assert isinstance(listener, Listener)
        listener._waiting.append(Connection(self, pointer, connected=True))
        listener._changed(Change.READABLE.value)
