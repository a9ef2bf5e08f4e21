"""A stack is replaced by one that took up what it left: what goes over the cable is the same, to the last bit."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.user.messages import from_words, to_words
from servers.net.lwip.kept import KeptStack, keep_stack, take_up_stack
from servers.net.lwip.stack import Connection, Listener, NetError, Reason, Socket, Stack, UdpSocket
from tests.servers.net.wire import CLIENT, SERVER, Faults, Sender, Wire, needs_lwip, used

pytestmark = needs_lwip


def replaced(net: Wire, end: int) -> Stack:
    """Put another stack in the place of one, with what that one left."""
    old = net.ends[end]
    kept = keep_stack(old)
    again = from_words(KeptStack, to_words(kept))
    assert again == kept
    new, twin = (
        Stack(old.mac, net._clock, lambda frame: net._sent(end, frame), address=old.interface, announces=False)
        for _ in range(2)
    )
    for each in (twin, new):
        take_up_stack(each, again)
    assert keep_stack(twin) == kept
    twin.close()
    old.close()
    if end:
        net.server = new
    else:
        net.client = new
    net.ends = (net.client, net.server)
    return new


class Traffic:
    """Streams both ways over some connections, and what each end has read; ends are known by their sockets' numbers."""

    def __init__(self, seed: int, faults: Faults, sizes: list[tuple[int, int]]) -> None:
        self.net = Wire(seed, faults)
        self.chance = random.Random(seed)
        self.data = [[self.chance.randbytes(size) for size in pair] for pair in sizes]
        listener = self.net.server.listen(80, backlog=20)
        ours = [self.net.client.connect(SERVER, 80) for _ in sizes]
        theirs: list[Connection] = []

        def connected() -> bool:
            while taken := listener.accept():
                theirs.append(taken)
            return len(theirs) == len(sizes) and all(each.connected for each in ours)

        self.is_connected = self.net.run(connected, 120_000)
        by_port = {each.peer.port: each for each in theirs}
        self.senders = [
            [Sender(each, data[0], 777), Sender(by_port[each.local.port], data[1])]
            for each, data in zip(ours, self.data, strict=True)
        ] if self.is_connected else []  # fmt: skip

    def go_on(self) -> bool:
        return sum(not sender.go_on() for pair in self.senders for sender in pair) == 0

    def replace(self, end: int) -> None:
        new = replaced(self.net, end)
        for pair in self.senders:
            found = new._sockets[pair[end].connection._id]
            assert isinstance(found, Connection)
            pair[end].connection = found

    def run(self, moments: list[tuple[int, int]]) -> str:
        """Replace at these moments, ms apart; go on to the end. Returns the digest of all frames."""
        for pause, end in moments:
            self.net.run(self.go_on, pause)
            self.replace(end)
        assert self.net.run(self.go_on, 36_000_000)
        for pair, data in zip(self.senders, self.data, strict=True):
            assert pair[0].received == data[1]
            assert pair[1].received == data[0]
            for sender in pair:
                sender.connection.close()
        self.net.run()
        for stack in self.net.ends:
            assert not {name: count for name, count in used(stack).items() if count and name.startswith("tcp_seg")}
        return self.net.digest.hexdigest()


MOMENTS = st.lists(st.tuples(st.integers(0, 40), st.sampled_from((0, 1))), max_size=8)
SIZES = st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 90_000)), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), MOMENTS, SIZES, st.sampled_from((1, 7)))
def test_every_frame_is_the_one_that_would_have_been_sent_without(
    seed: int, moments: list[tuple[int, int]], sizes: list[tuple[int, int]], delay: int
) -> None:
    faults = Faults(least_delay=delay, most_delay=delay)
    assert Traffic(seed, faults, sizes).run(moments) == Traffic(seed, faults, sizes).run([])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 2000), st.sampled_from((0, 1))), max_size=8), SIZES,
    st.builds(
        Faults, loss=st.sampled_from((0.02, 0.15)), duplication=st.sampled_from((0.0, 0.2)),
        most_delay=st.sampled_from((1, 5, 60)),
    ),
)  # fmt: skip
def test_on_a_bad_cable_no_byte_is_lost_or_doubled(
    seed: int, moments: list[tuple[int, int]], sizes: list[tuple[int, int]], faults: Faults
) -> None:
    traffic = Traffic(seed, faults, sizes)
    if traffic.is_connected:
        traffic.run(moments)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("connect"), st.integers(0, 1), st.sampled_from((80, 81, 82))),
        st.tuples(st.just("listen"), st.integers(0, 1), st.sampled_from((80, 81))),
        st.tuples(st.just("accept"), st.integers(0, 1), st.integers(0, 9)),
        st.tuples(st.just("send"), st.integers(0, 1), st.integers(0, 9), st.integers(1, 40_000)),
        st.tuples(st.just("receive"), st.integers(0, 1), st.integers(0, 9), st.integers(1, 40_000)),
        st.tuples(st.just("shutdown"), st.integers(0, 1), st.integers(0, 9)),
        st.tuples(st.just("close"), st.integers(0, 1), st.integers(0, 9)),
        st.tuples(st.just("abort"), st.integers(0, 1), st.integers(0, 9)),
        st.tuples(st.just("udp"), st.integers(0, 1), st.sampled_from((0, 53))),
        st.tuples(st.just("send_to"), st.integers(0, 1), st.integers(0, 9), st.integers(0, 1400)),
        st.tuples(st.just("receive_from"), st.integers(0, 1), st.integers(0, 9)),
        st.tuples(st.just("ping"), st.integers(0, 1), st.integers(0, 1400)),
        st.tuples(st.just("replies"), st.integers(0, 1)),
        st.tuples(st.just("wait"), st.sampled_from((0, 1, 2, 3, 20, 260, 1000, 70_000))),
        st.tuples(st.just("replace"), st.integers(0, 1)),
    ),
    max_size=40,
)


KNOWN = 140_000
"""Milliseconds; a neighbour is known for 270 s at least."""


class Pair:
    """Two stacks on which steps are carried out; ``replaces`` if it is a step to replace one."""

    def __init__(self, seed: int, *, replaces: bool) -> None:
        self.net = Wire(seed, Faults(least_delay=2, most_delay=2))
        self.replaces = replaces
        self.connections: tuple[list[int], list[int]] = ([], [])
        self.others: tuple[list[int], list[int]] = ([], [])
        for end in (0, 1):
            # Both know each other; a packet that waits for an address is not handed over.
            self.net.ends[end].ping((SERVER, CLIENT)[end], identifier=1, sequence=1)
        self.net.run(limit=100)

    def socket(self, end: int, ids: tuple[list[int], list[int]], which: int) -> Socket | None:
        return self.net.ends[end]._sockets.get(ids[end][which % len(ids[end])]) if ids[end] else None

    def do(self, name: str, end: int, *args: int) -> object:
        stack, net = self.net.ends[end if name != "wait" else 0], self.net
        try:
            match name:
                case "wait":
                    # How old what is known of a neighbour is is not handed over: so both must not ask for it again.
                    return net.now < KNOWN and net.run(limit=end)
                case "replace":
                    return replaced(net, end) and None if self.replaces else None
                case "connect":
                    self.connections[end].append(stack.connect((SERVER, CLIENT)[end], args[0])._id)
                case "listen":
                    self.others[end].append(stack.listen(args[0], backlog=2)._id)
                case "udp":
                    self.others[end].append(stack.udp(args[0])._id)
                case "ping":
                    stack.ping((SERVER, CLIENT)[end], identifier=2, sequence=args[0], payload=bytes(args[0]))
                case "replies":
                    return list(stack.echo_replies())
                case "accept":
                    return self.accept(end, *args)
                case "receive_from" | "send_to":
                    return self.datagrams(end, name, *args)
                case _:
                    return self.stream(end, name, *args)
        except NetError as error:
            return error.reason
        return None

    def accept(self, end: int, which: int) -> object:
        listener = self.socket(end, self.others, which)
        if not isinstance(listener, Listener) or (taken := listener.accept()) is None:
            return None
        self.connections[end].append(taken._id)
        return taken.peer, taken.connected, taken.ended, taken.unread

    def datagrams(self, end: int, name: str, which: int, size: int = 0) -> object:
        socket = self.socket(end, self.others, which)
        if not isinstance(socket, UdpSocket):
            return None
        if name == "receive_from":
            return socket.receive()
        socket.send(bytes(size), (SERVER, CLIENT)[end], 53)
        return None

    def stream(self, end: int, name: str, which: int, size: int = 0) -> object:
        connection = self.socket(end, self.connections, which)
        if not isinstance(connection, Connection):
            return None
        match name:
            case "send":
                return connection.send(random.Random(size).randbytes(size)), connection.room
            case "receive":
                return connection.receive(size), connection.at_end, connection.connected, connection.unread
            case "shutdown":
                connection.shutdown()
            case "close":
                connection.close()
            case _:
                connection.abort()
        return None

    def seen(self) -> object:
        """What clients can see of it, and what was on the cable."""
        told = [[(socket._id, change) for socket, change in stack.changes()] for stack in self.net.ends]
        return told, self.net.digest.hexdigest()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), STEPS)
def test_no_step_of_anybody_shows_that_a_stack_was_replaced(seed: int, steps: list[tuple[Any, ...]]) -> None:
    stayed, moving = Pair(seed, replaces=False), Pair(seed, replaces=True)
    for step in steps:
        assert stayed.do(*step) == moving.do(*step), step
        assert stayed.seen() == moving.seen(), step
    assert stayed.net.run(limit=60_000) == moving.net.run(limit=60_000)
    assert stayed.seen() == moving.seen()
    for each in (stayed, moving):
        each.net.close()


def some_kept(seed: int) -> tuple[Wire, KeptStack]:
    """What a stack with all kinds of sockets leaves, with bytes in all places."""
    net = Wire(seed, Faults(loss=0.1, most_delay=4))
    ours, theirs, _ = net.connected()
    other = net.client.connect(SERVER, 80)
    ours.send(bytes(range(256)) * 100)
    theirs.send(b"unread" * 1000)
    net.client.listen(99)
    udp, far = net.client.udp(53), net.server.udp(53)
    net.run(limit=50)
    for size in (10, 1400):
        far.send(bytes(size), CLIENT, 53)
    udp.send(b"", SERVER, 53)
    net.client.ping(SERVER, identifier=1, sequence=2, payload=b"ping")
    net.run(limit=3)
    ours.send(b"not sent" * 4000)
    other.close()
    return net, keep_stack(net.client)


def damaged(kept: KeptStack, data: st.DataObject) -> KeptStack:
    """With a few words changed. Raises ValueError if they mean nothing then."""
    words = to_words(kept)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(words) - 1))
        near = words[place] + data.draw(st.integers(-3, 3)) & (1 << 64) - 1
        words[place] = data.draw(st.one_of(
            st.just(near), st.integers(0, 20), st.integers(0, 2**32), st.integers(0, 2**64 - 1), st.sampled_from(words),
        ))  # fmt: skip
    return from_words(KeptStack, words)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 3), st.data())
def test_damage_is_refused_or_does_no_harm_to_the_process(seed: int, data: st.DataObject) -> None:
    net, kept = some_kept(seed)
    stack = Stack(net.client.mac, net._clock, lambda frame: None, address=net.client.interface, announces=False)
    net.client.close()
    net.client, net.ends = stack, (stack, net.server)
    with suppress(ValueError):
        wrong = damaged(kept, data)
        try:
            take_up_stack(stack, wrong)
        except ValueError:
            assert stack._stack is None, "nothing is left of a stack that took up half"
            raise
        # lwIP's own assertions find what fits together and still cannot be; nothing else comes of it.
        with suppress_broken():
            net.run(limit=200_000)
            for socket in list(stack._sockets.values()):
                if isinstance(socket, Connection):
                    socket.receive()
                socket.close()
            net.run(limit=200_000)
    net.close()


@contextmanager
def suppress_broken() -> Iterator[None]:
    try:
        yield
    except NetError as error:
        if error.reason is not Reason.Broken:
            raise


def test_what_another_lwip_has_left_is_refused_with_a_reason() -> None:
    net, kept = some_kept(1)
    stack = Stack(net.client.mac, net._clock, lambda frame: None, address=net.client.interface, announces=False)
    with pytest.raises(ValueError, match=r"it is in form 2 with 43 numbers; here it is 1 with 43"):
        take_up_stack(stack, evolve(kept, form=2))
    net.close()
