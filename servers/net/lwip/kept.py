"""A stack written down for the one that takes its place: its sockets, its connections with every byte that is on its
way, what it counts. Numbers and bytes, no pointer: so it can be taken up by another program, with another lwIP as well.

The stack that takes it up sends the very frames that the first would have sent. What is not handed over: packets that
wait for a neighbour's address, pieces of packets that are not whole yet, TCP segments that arrived ahead of others
(their senders send them again), and how old what is known of neighbours is.

What is taken up is looked at as if an enemy had written it: a connection fits together, or all of it is refused.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from attrs import frozen

from servers.net.lwip import AVAILABLE
from servers.net.lwip.stack import (
    Change,
    Connection,
    Listener,
    NetError,
    Reason,
    Socket,
    Stack,
    UdpSocket,
)

if TYPE_CHECKING or AVAILABLE:
    from servers.net.lwip._lwip import ffi, lib

if TYPE_CHECKING:
    from servers.net.lwip._lwip import SocketPointer

FORMAT: Final = 1
"""Counts up when the numbers change their meaning."""
_BITS: Final = 32


@frozen
class KeptDatagram:
    """A datagram that nobody has received yet."""

    address: int
    port: int
    data: bytes


@frozen
class KeptSocket:
    """A socket: its numbers as ``glue.h`` has them, and what is unread."""

    numbers: list[int]
    unread: bytes
    datagrams: list[KeptDatagram]


@frozen
class KeptSegment:
    """Bytes on their way to the peer, or that will be."""

    numbers: list[int]
    data: bytes


@frozen
class KeptConnection:
    """A TCP connection as lwIP has it; ``untaken`` is what its socket had no room for."""

    numbers: list[int]
    segments: list[KeptSegment]
    untaken: bytes


@frozen
class KeptNeighbour:
    """Which hardware has which address."""

    address: int
    mac: bytes


@frozen
class KeptChange:
    """What happened to a socket, and nobody was told of."""

    socket: int
    change: int


@frozen
class KeptStack:
    """All of a stack. ``members`` is how many numbers of a connection are lwIP's own."""

    form: int
    members: int
    numbers: list[int]
    sockets: list[KeptSocket]
    connections: list[KeptConnection]
    neighbours: list[KeptNeighbour]
    echoes: list[KeptDatagram]
    changes: list[KeptChange]


def keep_stack(stack: Stack) -> KeptStack:
    """Write a stack down. It may go on afterwards: nothing has changed but the number of its next packet."""
    numbers = ffi.new("uint32_t[]", lib.NET_STACK_NUMBERS)
    lib.net_stack_numbers(stack._here, stack._time(), numbers)
    sockets = [_keep_socket(stack, stack._sockets[each]) for each in sorted(stack._sockets)]
    return KeptStack(
        FORMAT, lib.net_connection_members(), ffi.unpack(numbers, lib.NET_STACK_NUMBERS), sockets,
        list(_connections(stack)), list(_neighbours(stack)), list(_datagrams(stack, lib.net_echoes(stack._here))),
        [KeptChange(socket._id, change.value) for socket, change in stack._changes.items()],
    )  # fmt: skip


def _keep_socket(stack: Stack, socket: Socket) -> KeptSocket:
    numbers = ffi.new("uint32_t[]", lib.NET_SOCKET_NUMBERS)
    lib.net_socket_numbers(socket._here, numbers)
    size = lib.net_unread(socket._here, stack._scratch) if isinstance(socket, Connection) else 0
    unread = bytes(ffi.buffer(stack._scratch, size))
    found = ffi.unpack(numbers, lib.NET_SOCKET_NUMBERS)
    return KeptSocket(found, unread, list(_datagrams(stack, socket._here)))


def _datagrams(stack: Stack, pointer: "SocketPointer") -> Iterator[KeptDatagram]:
    index = 0
    while (size := lib.net_datagram(pointer, index, stack._scratch, stack._number, stack._other)) >= 0:
        yield KeptDatagram(stack._number[0], stack._other[0], bytes(ffi.buffer(stack._scratch, size)))
        index += 1


def _connections(stack: Stack) -> Iterator[KeptConnection]:
    count = lib.NET_FIRST_MEMBER + lib.net_connection_members()
    numbers = ffi.new("uint32_t[]", count)
    index = 0
    while stack._done(lib.net_connection_numbers(stack._here, index, numbers)):
        found, segments = ffi.unpack(numbers, count), list(_segments(stack, index))
        size = stack._done(lib.net_untaken(stack._here, index, stack._scratch))
        yield KeptConnection(found, segments, bytes(ffi.buffer(stack._scratch, size)))
        index += 1


def _segments(stack: Stack, connection: int) -> Iterator[KeptSegment]:
    numbers = ffi.new("uint32_t[]", lib.NET_SEGMENT_NUMBERS)
    index = 0
    while (size := lib.net_segment(stack._here, connection, index, numbers, stack._scratch)) >= 0:
        found = ffi.unpack(numbers, lib.NET_SEGMENT_NUMBERS)
        yield KeptSegment(found, bytes(ffi.buffer(stack._scratch, size)))
        index += 1


def _neighbours(stack: Stack) -> Iterator[KeptNeighbour]:
    index = 0
    while (found := lib.net_neighbour(stack._here, index, stack._number, stack._scratch)) >= 0:
        if found:
            yield KeptNeighbour(stack._number[0], bytes(ffi.buffer(stack._scratch, 6)))
        index += 1


def take_up_stack(stack: Stack, kept: KeptStack) -> None:
    """A stack that was just made goes on with what another was. Raises ValueError if none can have been that; then
    the stack is closed.
    """
    try:
        _take_up(stack, kept)
    except (NetError, ValueError) as problem:
        stack.close()
        raise ValueError(f"no stack can have left this: {problem}") from None
    except BaseException:
        stack.close()
        raise


def _take_up(stack: Stack, kept: KeptStack) -> None:
    members = lib.net_connection_members()
    if kept.form != FORMAT or kept.members != members:
        raise ValueError(f"it is in form {kept.form} with {kept.members} numbers; here it is {FORMAT} with {members}")
    now = stack._time()
    _checked(lib.net_go_on(stack._here, now, _numbers(kept.numbers, lib.NET_STACK_NUMBERS)), "what the stack counts")
    for neighbour in kept.neighbours:
        if len(neighbour.mac) != len(stack.mac):
            raise ValueError("a neighbour's hardware address has six bytes")
        address = _numbers([neighbour.address], 1)[0]
        _checked(lib.net_put_neighbour(stack._here, now, address, neighbour.mac), "a neighbour")
    for socket in kept.sockets:
        _put_socket(stack, socket)
    for connection in reversed(kept.connections):
        _put_connection(stack, connection)
    for datagram in kept.echoes:
        _put_datagram(lib.net_echoes(stack._here), datagram)
    # What was told to the one that is replaced need not be told again.
    stack._drain(lib.net_waiting(stack._here) & lib.NET_CHANGES)
    stack._changes = {stack._sockets[_known(stack, each)]: Change(each.change) for each in kept.changes}


def _known(stack: Stack, change: KeptChange) -> int:
    if change.socket not in stack._sockets:
        raise ValueError(f"there is no socket {change.socket} to which something happened")
    return change.socket


def _numbers(numbers: list[int], count: int) -> list[int]:
    """So many numbers that fit. Raises ValueError."""
    if len(numbers) != count or any(not 0 <= number < 1 << _BITS for number in numbers):
        raise ValueError(f"there are to be {count} numbers of {_BITS} bits")
    return numbers


def _checked(result: int, what: str) -> None:
    if result < 0:
        raise ValueError(f"{what} cannot be: {Reason(result).name}")


def _put_socket(stack: Stack, kept: KeptSocket) -> None:
    numbers = _numbers(kept.numbers, lib.NET_SOCKET_NUMBERS)
    size = len(kept.unread)
    pointer = lib.net_put_socket(stack._here, stack._time(), numbers, kept.unread, size, stack._flags)
    if not pointer:
        raise ValueError(f"a socket cannot be: {Reason(stack._flags[0]).name}")
    for datagram in kept.datagrams:
        _put_datagram(pointer, datagram)
    kind = numbers[lib.NET_SOCKET_KIND]
    if kind == lib.NET_LISTENER:
        Listener(stack, pointer)
    elif kind == lib.NET_UDP:
        UdpSocket(stack, pointer)
    else:
        _add_connection(Connection(stack, pointer, connected=bool(numbers[lib.NET_WAS_CONNECTED])), numbers)


def _add_connection(connection: Connection, numbers: list[int]) -> None:
    stack = connection._stack
    connection.ended = bool(numbers[lib.NET_HAS_ENDED])
    error = stack._info(connection._here).error
    connection.error = NetError(Reason(error)) if error else None
    if numbers[lib.NET_IS_WAITING]:
        listener = stack._sockets[numbers[lib.NET_LISTENER_ID]]
        assert isinstance(listener, Listener)
        listener._waiting.append(connection)


def _put_datagram(pointer: "SocketPointer", kept: KeptDatagram) -> None:
    address, port = _numbers([kept.address, kept.port], 2)
    _checked(lib.net_put_datagram(pointer, address, port, kept.data, len(kept.data)), "a datagram")


def _put_connection(stack: Stack, kept: KeptConnection) -> None:
    numbers = _numbers(kept.numbers, lib.NET_FIRST_MEMBER + lib.net_connection_members())
    size = len(kept.untaken)
    pointer = lib.net_put_connection(stack._here, stack._time(), numbers, kept.untaken, size, stack._flags)
    if not pointer:
        raise ValueError(f"a connection cannot be: {Reason(stack._flags[0]).name}")
    for segment in kept.segments:
        about = _numbers(segment.numbers, lib.NET_SEGMENT_NUMBERS)
        data = segment.data
        _checked(lib.net_put_segment(stack._here, pointer, about, data, len(data)), "a segment")
    _checked(lib.net_settle(stack._here, pointer), "a connection whose segments")
