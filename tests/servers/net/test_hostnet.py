"""The host's network for a machine, with a real stack in the machine's place, and the host's programs outside."""

import os
import random
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import dns.message
import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.runtime.hostnet import GATEWAY, GUEST, LOOPBACK, NAMESERVER, HostNet
from servers.net.lwip.stack import Connection, Listener, Reason, Stack
from tests.servers.net.wire import Sender, needs_curl, needs_lwip, used

pytestmark = needs_lwip

PATIENCE = 20
"""Seconds of the host's until a test is given up."""


class Inside:
    """A stack on the host's network. Its clock goes on by a millisecond at each poll."""

    def __init__(
        self,
        forwards: Sequence[tuple[int, int]] = (),
        allowed: Sequence[tuple[str, int]] = (),
        names: Mapping[str, str] = {},
    ) -> None:
        self.now = 0
        self.listeners: dict[int, Listener] = {}
        self.net = HostNet(forwards=forwards, allowed=allowed, names=names)
        self.stack = Stack(
            b"\x02\0\0\0\0\1", lambda: self.now, self.net.send, address=f"{GUEST}/24", gateway=GATEWAY, seed=1
        )

    def run(self, until: Callable[[], object]) -> None:
        """Poll until something holds."""
        deadline = time.monotonic() + PATIENCE
        while not until():
            frames = self.net.receive(64)
            for frame in frames:
                self.stack.input(frame)
            self.now += 1
            self.stack.poll()
            if not frames:
                self.net.wait(0.001)
            assert time.monotonic() < deadline

    def close(self) -> None:
        self.net.close()
        self.stack.close()


@contextmanager
def inside(
    forwards: Sequence[tuple[int, int]] = (),
    allowed: Sequence[tuple[str, int]] = (),
    names: Mapping[str, str] = {},
) -> Iterator[Inside]:
    made = Inside(forwards, allowed, names)
    try:
        yield made
    finally:
        made.close()


class Responder:
    """A tiny HTTP server: one answer for each connection."""

    def __init__(self, connection: Connection, body: bytes) -> None:
        self.connection = connection
        self.protocol = h11.Connection(h11.SERVER)
        self.body = body
        self.out = b""
        self.target = b""

    def go_on(self) -> bool:
        """Do what can be done; whether all was sent."""
        if data := self.connection.receive():
            self.protocol.receive_data(data)
        event = self.protocol.next_event()
        if isinstance(event, h11.Request):
            self.target = event.target
            head = h11.Response(
                status_code=200, headers=[("content-length", str(len(self.body))), ("connection", "close")]
            )
            for part in (head, h11.Data(data=self.body), h11.EndOfMessage()):
                self.out += self.protocol.send(part) or b""
        if self.out:
            self.out = self.out[self.connection.send(self.out) :]
        if self.target and not self.out:
            self.connection.shutdown()
            return True
        return False


@needs_curl
def test_curl_of_the_host_fetches_a_page_from_inside() -> None:
    page = random.Random(4).randbytes(300_000)
    with inside(forwards=[(0, 80)]) as guest:
        listener = guest.stack.listen(80)
        url = f"http://{LOOPBACK}:{guest.net.ports[80]}/a/page"
        command = [
            "curl",
            "--silent",
            "--noproxy",
            "*",
            "--max-time",
            str(PATIENCE),
            "--write-out",
            "%{http_code}",
            url,
        ]
        curl = subprocess.Popen(command, stdout=subprocess.PIPE)
        guest.run(lambda: listener._waiting)
        connection = listener.accept()
        assert connection is not None
        responder = Responder(connection, page)
        guest.run(responder.go_on)
        assert str(connection.peer.address) == GATEWAY
        assert responder.target == b"/a/page"
        assert curl.stdout is not None
        pipe = curl.stdout.fileno()
        os.set_blocking(pipe, False)
        fetched = bytearray()

        def read_all(pipe: int) -> bool:
            """Read what curl has written; whether it will write no more."""
            try:
                data = os.read(pipe, 1 << 20)
            except BlockingIOError:
                return False
            fetched.extend(data)
            return not data

        guest.run(lambda: read_all(pipe))
        curl.stdout.close()
        assert curl.wait(PATIENCE) == 0
        assert bytes(fetched) == page + b"200"


def forwarded(guest: Inside, port: int = 80) -> tuple[socket.socket, Connection]:
    """A connection from the host to the inside: the host's socket, and the other end."""
    listener = guest.listeners.get(port) or guest.listeners.setdefault(port, guest.stack.listen(port))
    client = socket.create_connection((LOOPBACK, guest.net.ports[port]), PATIENCE)
    client.setblocking(False)
    guest.run(lambda: listener._waiting)
    connection = listener.accept()
    assert connection is not None
    return client, connection


class HostSide:
    """Does with a socket of the host's what `Sender` does with a connection."""

    def __init__(self, host: socket.socket, data: bytes) -> None:
        self.host = host
        self.left = memoryview(data)
        self.received = bytearray()
        self.shut = self.ended = False

    def go_on(self) -> bool:
        try:
            while self.left:
                self.left = self.left[self.host.send(self.left) :]
        except BlockingIOError:
            pass
        if not self.left and not self.shut:
            self.host.shutdown(socket.SHUT_WR)
            self.shut = True
        try:
            while not self.ended:
                data = self.host.recv(65536)
                self.received += data
                self.ended = not data
        except BlockingIOError:
            pass
        return self.shut and self.ended


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(0, 600_000), st.integers(0, 600_000))
def test_streams_go_both_ways_through_a_forwarded_port(seed: int, out: int, back: int) -> None:
    chance = random.Random(seed)
    data = chance.randbytes(out), chance.randbytes(back)
    with inside(forwards=[(0, 80)]) as guest:
        before = used(guest.stack)
        client, connection = forwarded(guest)
        outer, inner = HostSide(client, data[0]), Sender(connection, data[1])
        guest.run(lambda: outer.go_on() + inner.go_on() == 2)
        assert outer.received == data[1]
        assert inner.received == data[0]
        guest.run(lambda: not guest.net._flows)
        client.close()
        assert before["tcp_pcb"] == 0


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(0, 600_000), st.integers(0, 600_000))
def test_streams_go_both_ways_over_an_allowed_connection(seed: int, out: int, back: int) -> None:
    chance = random.Random(seed)
    data = chance.randbytes(out), chance.randbytes(back)
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with inside(allowed=[(LOOPBACK, port)]) as guest:
            connection = guest.stack.connect(GATEWAY, port)
            guest.run(lambda: connection.connected)
            host, _ = server.accept()
            host.setblocking(False)
            outer, inner = HostSide(host, data[0]), Sender(connection, data[1])
            guest.run(lambda: outer.go_on() + inner.go_on() == 2)
            assert outer.received == data[1]
            assert inner.received == data[0]
            host.close()


def test_what_is_not_allowed_is_refused_even_if_somebody_listens() -> None:
    with socket.create_server((LOOPBACK, 0)) as server, inside(allowed=[(LOOPBACK, 1)]) as guest:
        server.setblocking(False)
        for port in (server.getsockname()[1], 1):
            connection = guest.stack.connect(GATEWAY, port)
            guest.run(lambda connection=connection: connection.error)
            assert connection.error is not None
            assert connection.error.reason is Reason.Refused
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_reset_goes_through_either_way() -> None:
    with inside(forwards=[(0, 80)]) as guest:
        client, connection = forwarded(guest)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        guest.run(lambda: connection.error)
        assert connection.error is not None
        assert connection.error.reason is Reason.Reset

        client, connection = forwarded(guest)
        connection.abort()
        guest.run(lambda: not guest.net._flows)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        client.close()


def test_a_port_where_nobody_listens_inside_resets_the_host() -> None:
    with inside(forwards=[(0, 80)]) as guest:
        client = socket.create_connection((LOOPBACK, guest.net.ports[80]), PATIENCE)
        guest.run(lambda: guest.net._made and not guest.net._flows)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        client.close()


def test_a_half_close_goes_through() -> None:
    with inside(forwards=[(0, 80)]) as guest:
        client, connection = forwarded(guest)
        client.send(b"question")
        client.shutdown(socket.SHUT_WR)
        guest.run(lambda: connection.ended)
        assert connection.receive() == b"question"
        connection.send(b"answer")
        connection.shutdown()
        guest.run(lambda: not guest.net._flows)
        assert client.recv(100) == b"answer"
        assert client.recv(100) == b""
        client.close()


def test_many_connections_through_one_port() -> None:
    with inside(forwards=[(0, 80)]) as guest:
        listener = guest.stack.listen(80, backlog=16)
        clients = [socket.create_connection((LOOPBACK, guest.net.ports[80]), PATIENCE) for _ in range(20)]
        taken: list[Connection] = []

        def take() -> bool:
            if connection := listener.accept():
                taken.append(connection)
                connection.send(b"%d" % connection.peer.port)
                connection.close()
            return len(taken) == 20 and not guest.net._flows

        for client in clients:
            client.shutdown(socket.SHUT_WR)
        guest.run(take)
        assert sorted(int(client.recv(100)) for client in clients) == sorted(end.peer.port for end in taken)
        for client in clients:
            client.close()


def test_names_are_answered() -> None:
    with inside(names={"Board.Example.": "10.0.2.2"}) as guest:
        client = guest.stack.udp()
        for name, kind, codes in (
            ("board.example", "A", (0, ["10.0.2.2"])),
            ("BOARD.example", "AAAA", (0, [])),
            ("other.example", "A", (3, [])),
        ):
            question = dns.message.make_query(name, kind)
            client.send(question.to_wire(), NAMESERVER, 53)
            guest.run(lambda: client in dict(guest.stack.changes()))
            received, _ = client.receive() or (b"", None)
            reply = dns.message.from_wire(received)
            assert question.is_response(reply)
            assert (reply.rcode(), [str(item) for answer in reply.answer for item in answer]) == codes


def test_the_gateway_answers_pings() -> None:
    with inside() as guest:
        guest.stack.ping(GATEWAY, identifier=1, sequence=2, payload=b"x" * 999)
        replies = []
        guest.run(lambda: replies.extend(guest.stack.echo_replies()) or replies)
        assert (replies[0].sequence, replies[0].payload) == (2, b"x" * 999)
