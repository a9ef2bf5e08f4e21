"""What a stack may use, what happens when it is used up, and that all of it comes back."""

import random
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servers.net.lwip.stack import Connection, Listener, NetError, Reason, Socket, Stack, UdpSocket, Unavailable
from tests.servers.net.wire import CLIENT, SERVER, Faults, needs_lwip, refused, used, wire

MAC = b"\x02\0\0\0\0\1"


def alone(frames: list[bytes] | None = None) -> Stack:
    """A stack with nobody at the other end."""
    return Stack(MAC, lambda: 0, (frames if frames is not None else []).append, address="10.0.2.15/24")


def forever(make: Callable[[], object]) -> None:
    """Make one after the other."""
    while True:
        make()


@needs_lwip
def test_connections_beyond_the_pool_are_refused_with_a_reason() -> None:
    with wire() as net:
        before = used(net.client)
        connections: list[Connection] = []
        with pytest.raises(NetError) as error:
            forever(lambda: connections.append(net.client.connect("10.0.2.77", 80)))
        assert error.value.reason is Reason.OutOfMemory
        assert "tcp_pcb" in refused(net.client)
        assert len(connections) == net.client.statistics()["tcp_pcb"].limit
        for connection in connections:
            connection.close()
        net.run()
        assert used(net.client) == before


@needs_lwip
def test_sockets_for_datagrams_and_listeners_are_limited_too() -> None:
    stack = alone()
    for make, pool in ((stack.udp, "udp_pcb"), (lambda: stack.listen(0), "tcp_pcb_listen")):
        with pytest.raises(NetError, match="OutOfMemory"):
            forever(make)
        assert pool in refused(stack)
    stack.close()


@needs_lwip
def test_a_flood_of_connections_does_not_stop_the_server() -> None:
    with wire() as net:
        before = used(net.server)
        listener = net.server.listen(80, backlog=100)
        flood: list[Connection] = [net.client.connect(SERVER, 80) for _ in range(120)]
        net.run(limit=60_000)
        taken = 0
        for connection in flood:
            connection.abort()
        while connection := listener.accept():
            taken += 1
            connection.close()
        assert taken == 100
        listener.close()
        net.run()
        assert used(net.server) == before
        net.connected(81)


@needs_lwip
def test_the_heap_is_limited_and_the_streams_survive_it() -> None:
    with wire() as net:
        listener = net.server.listen(80, backlog=128)
        ours = [net.client.connect(SERVER, 80) for _ in range(126)]
        assert net.run(lambda: len(listener._waiting) == len(ours))
        sent = [0] * len(ours)
        reasons: set[Reason] = set()
        for number, end in enumerate(ours):
            try:
                sent[number] = end.send(bytes(65535))
            except NetError as error:
                reasons.add(error.reason)
        assert reasons <= {Reason.OutOfMemory}
        theirs = []
        while connection := listener.accept():
            theirs.append(connection)
        received = dict.fromkeys((end.peer.port for end in theirs), 0)

        def all_there() -> bool:
            for end in theirs:
                received[end.peer.port] += len(end.receive())
            return [received[end.local.port] for end in ours] == sent

        assert net.run(all_there)
        assert net.client.statistics()["heap_bytes"].peak <= 8 << 20


SCARCE = {
    "udp_pcb": (0, 1, 2),
    "tcp_pcb": (0, 1, 2, 5),
    "tcp_pcb_listen": (0, 1),
    "tcp_seg": (0, 1, 2, 4, 9),
    "reassdata": (0, 1),
    "frag_pbuf": (0, 1, 4),
    "arp_queue": (0, 1, 3),
    "pbuf": (0, 1, 2, 5),
    "pbuf_pool": (0, 1, 2, 6),
    "heap_bytes": (100, 1600, 5000, 20_000),
    "sockets": (1, 2, 3, 5),
    "datagram_bytes": (0, 10, 3000),
    "frame_bytes": (0, 100, 1600, 5000),
}


@needs_lwip
@settings(deadline=None, max_examples=150)
@given(
    st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in SCARCE.items()}),
    st.integers(0, 2**32),
)
def test_whatever_is_scarce_calls_fail_by_name_and_nothing_is_lost(limits: dict[str, int], seed: int) -> None:
    chance = random.Random(seed)
    with wire(seed, Faults(loss=0.03, most_delay=5), limits) as net:
        before = [used(stack) for stack in net.ends]
        held: list[Socket] = []

        def attempt() -> None:
            stack = chance.choice(net.ends)
            other = SERVER if stack is net.client else CLIENT
            connections = [socket for socket in held if isinstance(socket, Connection)]
            sockets = [socket for socket in held if isinstance(socket, UdpSocket)]
            match chance.randrange(9):
                case 0:
                    held.append(stack.listen(80))
                case 1:
                    held.append(stack.udp())
                case 2:
                    held.append(stack.connect(other, 80))
                case 3:
                    stack.ping(other, identifier=1, sequence=1, payload=bytes(chance.choice((9, 3000))))
                case 4 if connections:
                    chance.choice(connections).send(bytes(chance.choice((1, 5000, 65535))))
                case 5 if connections:
                    chance.choice(connections).receive(chance.choice((1, 9000)))
                case 6 if connections:
                    chance.choice(connections).shutdown()
                case 7 if sockets:
                    chance.choice(sockets).send(bytes(chance.choice((9, 5000))), other, 80)
                case 8 if held:
                    held.pop(chance.randrange(len(held))).close()

        reasons: set[Reason] = set()
        for _ in range(60):
            try:
                attempt()
            except NetError as error:
                reasons.add(error.reason)
            for listener in [socket for socket in held if isinstance(socket, Listener)]:
                if connection := listener.accept():
                    held.append(connection)
            net.run(limit=chance.choice((1, 10, 700)))
        for socket in held:
            socket.close()
        for stack in net.ends:
            list(stack.echo_replies())
        net.run()
        for stack in net.ends:
            list(stack.echo_replies())
        assert [used(stack) for stack in net.ends] == before
        assert Reason.Broken not in reasons


@needs_lwip
def test_an_exception_of_send_goes_to_the_caller_and_harms_nothing() -> None:
    frames: list[bytes] = []
    fail = False

    def send(frame: bytes) -> None:
        if fail:
            raise ZeroDivisionError
        frames.append(frame)

    stack = Stack(MAC, lambda: 0, send, address="10.0.2.15/24")
    socket = stack.udp()
    fail = True
    with pytest.raises(ZeroDivisionError):
        socket.send(b"x", "10.0.2.255", 9)
    fail = False
    frames.clear()
    socket.send(b"y", "10.0.2.255", 9)
    assert [frame[-1:] for frame in frames] == [b"y"]
    stack.close()


@needs_lwip
def test_an_exception_of_the_clock_goes_to_the_caller_and_harms_nothing() -> None:
    times: deque[int] = deque((0, 1))
    stack = Stack(MAC, times.popleft, lambda frame: None, address="10.0.2.15/24")
    socket = stack.udp()
    for call in (socket.close, stack.poll, lambda: stack.listen(80), lambda: stack.input(bytes(60))):
        with pytest.raises(IndexError):
            call()
    assert not socket.closed
    times.append(2)
    socket.close()
    stack.close()


@needs_lwip
def test_stacks_that_are_connected_directly_do_not_recurse() -> None:
    stacks: list[Stack] = []

    def to(end: int) -> Stack:
        return Stack(
            bytes((2, 0, 0, 0, 0, end)),
            lambda: 0,
            lambda frame: stacks[1 - end].input(frame) if len(stacks) == 2 else None,
            address=f"10.0.2.{end + 1}/24",
        )

    stacks += [to(0)]
    stacks += [to(1)]
    listener = stacks[1].listen(80)
    ours = stacks[0].connect("10.0.2.2", 80)
    theirs = listener.accept()
    assert theirs is not None
    received = 0
    for _ in range(100):
        sent = ours.send(bytes(60_000))
        while data := theirs.receive():
            received += len(data)
        assert sent
    assert received >= 99 * 60_000
    for stack in stacks:
        stack.close()


@needs_lwip
def test_a_closed_stack_and_its_sockets_say_so() -> None:
    stack = alone()
    socket, listener, connection = stack.udp(), stack.listen(80), stack.connect("10.0.2.2", 80)
    stack.close()
    stack.close()
    assert socket.closed
    assert listener.closed
    connection.close()
    for call in (stack.poll, lambda: stack.input(bytes(60)), lambda: connection.send(b"x"), socket.receive):
        with pytest.raises(NetError, match="Closed"):
            call()


@needs_lwip
def test_closed_stacks_give_their_memory_back() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def once() -> None:
        with wire() as net:
            ours, theirs, _ = net.connected()
            theirs.send(bytes(60_000))
            ours.send(bytes(60_000))
            net.run(limit=100)

    for _ in range(20):
        once()
    before = resident()
    for _ in range(200):
        once()
    assert resident() - before < 4 << 20


@needs_lwip
def test_a_failed_assertion_of_lwip_breaks_that_stack_and_nothing_else() -> None:
    from servers.net.lwip._lwip import lib

    with wire() as net:
        broken = alone()
        connection = broken.connect("10.0.2.2", 80)
        lib.net_fail_assertion(broken._here)
        for call in (
            broken.poll,
            lambda: connection.send(b"x"),
            broken.udp,
            lambda: broken.input(bytes(12) + b"\x08\0" * 30),
        ):
            with pytest.raises(NetError, match="Broken: Assertion") as error:
                call()
            assert error.value.reason is Reason.Broken
        broken.close()
        ours, theirs, _ = net.connected()
        ours.send(b"well")
        net.run(limit=100)
        assert theirs.receive() == b"well"


@needs_lwip
def test_a_mac_address_must_be_one() -> None:
    for mac in (b"\x01\0\0\0\0\0", b"short"):
        with pytest.raises(NetError, match="MAC"):
            Stack(mac, lambda: 0, lambda frame: None, address="10.0.2.15/24")


def test_without_the_extension_everything_imports_and_a_stack_says_why_not() -> None:
    program = (
        "import sys; sys.modules['servers.net.lwip._lwip'] = None\n"
        "from servers.net.lwip import AVAILABLE, WHY_NOT\n"
        "from servers.net.lwip.stack import Stack, Unavailable\n"
        "try: Stack(bytes(6), int, print, address='10.0.2.15/24')\n"
        "except Unavailable as error: print(AVAILABLE, error)\n"
    )
    root = Path(__file__).parents[3]
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=True)
    assert result.stdout.startswith("False lwIP was not built")
    assert issubclass(Unavailable, Exception)
