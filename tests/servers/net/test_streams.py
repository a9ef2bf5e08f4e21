"""TCP between two stacks: what is sent arrives, in order and once, whatever the cable does to frames."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servers.net.lwip.stack import Change, NetError, Reason, Stack
from tests.servers.net.wire import SERVER, Faults, Sender, needs_lwip, used, wire

pytestmark = needs_lwip

SEEDS = st.integers(0, 2**32)
FAULTS = st.builds(
    Faults,
    loss=st.sampled_from((0.0, 0.02, 0.15)),
    duplication=st.sampled_from((0.0, 0.2)),
    most_delay=st.sampled_from((1, 5, 60)),
)


def exchange(seed: int, faults: Faults, sizes: tuple[int, int], chunk: int = 65535) -> tuple[str, int]:
    """Send both ways at once; the digest of all frames, and their number."""
    data = [random.Random(f"{seed} {size}").randbytes(size) for size in sizes]
    with wire(seed, faults) as net:
        before = [used(stack) for stack in net.ends]
        *ends, listener = net.connected()
        senders = [Sender(end, data[number], chunk) for number, end in enumerate(ends)]
        assert net.carry(*senders)
        assert senders[0].received == data[1]
        assert senders[1].received == data[0]
        for end in (*ends, listener):
            end.close()
        net.run()
        assert [used(stack) for stack in net.ends] == before
        return net.digest.hexdigest(), net.frames


@settings(max_examples=60, deadline=None)
@given(SEEDS, FAULTS, st.tuples(st.integers(0, 200_000), st.integers(0, 200_000)), st.sampled_from((777, 65535)))
def test_streams_arrive_in_order_and_once_and_leave_nothing_behind(
    seed: int, faults: Faults, sizes: tuple[int, int], chunk: int
) -> None:
    exchange(seed, faults, sizes, chunk)


def test_the_same_seed_gives_the_same_frames() -> None:
    faults = Faults(loss=0.05, duplication=0.1, most_delay=20)
    first = exchange(5, faults, (150_000, 30_000))
    assert exchange(5, faults, (150_000, 30_000)) == first
    assert exchange(6, faults, (150_000, 30_000)) != first


def test_initial_sequence_numbers_and_ports_depend_on_the_seed_only() -> None:
    ports = []
    for seed in (1, 1, 2):
        with wire(seed) as net:
            ports.append(net.connected()[0].local.port)
    assert ports[0] == ports[1] != ports[2]


def test_many_connections_at_once() -> None:
    with wire(3, Faults(loss=0.03, most_delay=8)) as net:
        before = [used(stack) for stack in net.ends]
        listener = net.server.listen(80, backlog=60)
        ours = [net.client.connect(SERVER, 80) for _ in range(50)]
        theirs = []

        def all_taken() -> bool:
            while connection := listener.accept():
                theirs.append(connection)
            return len(theirs) == 50 and all(end.connected for end in ours)

        assert net.run(all_taken)
        by_port = {end.peer.port: end for end in theirs}
        senders = []
        for number, end in enumerate(ours):
            senders.append(Sender(end, bytes((number,)) * (3000 + number)))
            senders.append(Sender(by_port[end.local.port], bytes((100 + number,)) * 5000))
        assert net.carry(*senders)
        for number in range(50):
            assert senders[2 * number + 1].received == bytes((number,)) * (3000 + number)
            assert senders[2 * number].received == bytes((100 + number,)) * 5000
        for end in (*ours, *theirs, listener):
            end.close()
        net.run()
        assert [used(stack) for stack in net.ends] == before


def test_what_is_queued_before_the_connection_stands_comes_with_it_though_the_syn_was_lost() -> None:
    with wire(faults=Faults(loss=1.0)) as net:
        listener = net.server.listen(80)
        ours = net.client.connect(SERVER, 80)
        ours.send(b"hello")
        net.run(limit=1000)
        net.faults = Faults()
        assert net.run(lambda: bool(listener.waiting), 10_000)
        theirs = listener.accept()
        assert theirs is not None
        assert net.run(lambda: theirs.unread == 5, 10)


def test_after_a_half_close_the_other_direction_goes_on() -> None:
    with wire() as net:
        ours, theirs, _ = net.connected()
        ours.send(b"question")
        ours.shutdown()
        assert net.run(lambda: theirs.ended)
        assert theirs.receive() == b"question"
        assert theirs.at_end
        with pytest.raises(NetError, match="Closed"):
            ours.send(b"more")
        for part in (b"one ", b"two ", b"three"):
            theirs.send(part)
            net.run(limit=2000)
        theirs.shutdown()
        assert net.run(lambda: ours.ended)
        assert ours.receive() == b"one two three"
        assert ours.at_end
        assert ours.error is None
        assert theirs.error is None


def test_an_abort_resets_the_peer() -> None:
    with wire() as net:
        ours, theirs, _ = net.connected()
        ours.send(b"said before")
        net.run(limit=100)
        net.server.changes()
        ours.abort()
        net.run(limit=100)
        assert dict(net.server.changes())[theirs] is Change.FAILED
        assert theirs.error is not None
        assert theirs.error.reason is Reason.Reset
        assert theirs.receive() == b"said before"
        with pytest.raises(NetError, match="Reset"):
            theirs.send(b"x")


def test_closing_with_unread_bytes_resets_the_peer() -> None:
    with wire() as net:
        ours, theirs, _ = net.connected()
        ours.send(b"nobody reads this")
        net.run(limit=100)
        theirs.close()
        net.run(limit=100)
        assert ours.error is not None
        assert ours.error.reason is Reason.Reset


def test_closing_with_unread_bytes_resets_the_peer_after_a_half_close_too() -> None:
    with wire() as net:
        before = used(net.client)
        ours, theirs, listener = net.connected()
        ours.shutdown()
        sent = 0
        while size := theirs.send(bytes(65535)):
            sent += size
            net.run(limit=500)
        ours.close()
        net.run(limit=100_000)
        assert theirs.error is not None
        assert theirs.error.reason is Reason.Reset
        assert used(net.client) == before
        listener.close()


def test_a_closed_connection_does_not_wait_for_ever_for_a_peer_that_reads_nothing() -> None:
    with wire() as net:
        before = used(net.client)
        ours, theirs, _ = net.connected()
        while ours.send(bytes(65535)):
            net.run(limit=500)
        ours.close()
        assert used(net.client)["tcp_pcb"] == 1
        net.run(limit=200_000)
        assert used(net.client) == before
        assert theirs.error is not None


def test_a_port_where_nobody_listens_refuses() -> None:
    with wire() as net:
        ours = net.client.connect(SERVER, 81)
        assert net.run(lambda: ours.error is not None)
        assert ours.error is not None
        assert ours.error.reason is Reason.Refused


def test_a_peer_that_is_not_there_is_given_up() -> None:
    with wire(faults=Faults(loss=1.0)) as net:
        ours = net.client.connect(SERVER, 80)
        net.run()
        assert ours.error is not None
        assert ours.error.reason is Reason.GaveUp
        assert net.client.poll() is None


def test_a_receiver_that_does_not_read_stops_the_sender() -> None:
    with wire() as net:
        ours, theirs, _ = net.connected()
        data = random.Random(1).randbytes(400_000)
        sent = 0
        for _ in range(200):
            sent += ours.send(data[sent:])
            net.run(limit=50)
        assert ours.send(data[sent:]) == 0
        assert theirs.unread <= 65535
        assert sent <= 2 * 65535
        sender = Sender(ours, data[sent:])
        reader = Sender(theirs, b"")
        assert net.carry(sender, reader)
        assert bytes(reader.received) == data


def test_a_full_backlog_makes_peers_wait_not_fail() -> None:
    with wire() as net:
        listener = net.server.listen(80, backlog=2)
        ours = [net.client.connect(SERVER, 80) for _ in range(4)]
        net.run(limit=1000)
        assert sum(end.connected for end in ours) == 2
        assert all(end.error is None for end in ours)
        assert listener.accept()
        assert listener.accept()
        assert not listener.accept()
        assert net.run(lambda: all(end.connected for end in ours))


def test_closing_a_listener_resets_those_that_wait_and_frees_the_port() -> None:
    with wire() as net:
        before = used(net.server)
        listener = net.server.listen(80)
        ours = net.client.connect(SERVER, 80)
        net.run(lambda: ours.connected)
        net.run(limit=100)
        with pytest.raises(NetError, match="AddressInUse"):
            net.server.listen(80)
        listener.close()
        net.run(limit=100)
        assert ours.error is not None
        assert used(net.server) == before
        net.server.listen(80)


def test_a_stack_talks_to_itself() -> None:
    with wire() as net:
        listener = net.server.listen(80)
        ours = net.server.connect(SERVER, 80)
        net.run(lambda: ours.connected)
        theirs = listener.accept()
        assert theirs is not None
        theirs.send(b"hello me")
        net.run(limit=100)
        assert ours.receive() == b"hello me"


def test_an_idle_stack_has_no_timer() -> None:
    with wire() as net:
        net.run(limit=10)
        assert [stack.poll() for stack in net.ends] == [None, None]
        net.connected()
        net.run(limit=5000)
        assert net.client.poll() is not None


def test_a_stack_whose_ports_begin_at_the_last_one_connects_too() -> None:
    """With this seed lwIP 2.1.3 would come to port 0, and take that for "none is left"."""
    stack = Stack(b"\2\0\0\0\0\1", lambda: 0, lambda frame: None, address="10.0.0.1/24", seed=2280)
    stack.connect("10.0.0.2", 7)
    stack.close()
