"""The end of a TCP connection that the host keeps for a machine, against another one of its kind."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.runtime.hosttcp import ACK, FIN, MSS, RST, SYN, Segment, TcpEnd, checksum, decode, refusal

PSEUDO = bytes((10, 0, 2, 15, 10, 0, 2, 2, 0, 6))


def connected(iss: int = 100, other: int = 0xFFFFFFF0) -> tuple[TcpEnd, TcpEnd]:
    """Two ends that have shaken hands."""
    one = TcpEnd(iss)
    (syn,) = one.segments()
    two = TcpEnd(other, syn)
    carry(one, two)
    assert one.connected
    assert two.connected
    return one, two


def carry(one: TcpEnd, two: TcpEnd) -> None:
    """Carry segments both ways until there are none."""
    while segments := [(two, segment) for segment in one.segments()] + [(one, segment) for segment in two.segments()]:
        for end, segment in segments:
            end.take(segment)


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 100_000), min_size=2, max_size=2),
    st.sampled_from((0.0, 0.1, 0.3)),
    st.booleans(),
)
def test_streams_arrive_in_order_and_once_on_a_cable_that_loses_doubles_and_reorders(
    iss: int, seed: int, sizes: list[int], loss: float, reorders: bool
) -> None:
    chance = random.Random(seed)
    data = [chance.randbytes(size) for size in sizes]
    one = TcpEnd(iss)
    ends: list[TcpEnd | None] = [one, None]
    written, received = [0, 0], [bytearray(), bytearray()]
    cable: list[tuple[int, Segment]] = []
    for _ in range(4000):
        for number, end in enumerate(ends):
            if end is None:
                continue
            step = data[number][written[number] : written[number] + chance.choice((1, 700, 9000))][: end.room]
            end.write(step)
            written[number] += len(step)
            if written[number] == len(data[number]):
                end.finish()
            received[number] += end.read(chance.choice((0, 10, 70_000)))
            cable += [(1 - number, segment) for segment in end.segments() if chance.random() >= loss]
        if reorders:
            chance.shuffle(cable)
        cable += [item for item in cable if chance.random() < loss / 2]
        for number, segment in cable:
            end = ends[number]
            if end is not None:
                end.take(segment)
            elif segment.flags == SYN:
                ends[1] = TcpEnd(seed, segment)
        if not cable:
            for end in ends:
                if end is not None and end.waits:
                    end.timeout()
        cable.clear()
        if all(end is not None and end.done and not end.unread for end in ends):
            break
    for number, end in enumerate(ends):
        assert end is not None
        received[number] += end.read(1 << 20)
        assert not end.reset
        assert received[number] == data[1 - number]
        assert end.done


def test_the_peers_window_is_kept_to() -> None:
    one, two = connected()
    one.write(bytes(200_000))
    sent = one.segments()
    assert {len(segment.payload) for segment in sent} == {MSS}
    assert 65535 - MSS < sum(len(segment.payload) for segment in sent) <= 65535
    for segment in sent:
        two.take(segment)
    carry(one, two)
    assert two.unread == 65535
    assert one.segments() == []
    assert len(two.read(70_000)) == 65535
    (update,) = two.segments()
    assert update.window == 65535
    one.take(update)
    assert one.segments()


def test_a_lost_window_update_is_asked_for() -> None:
    one, two = connected()
    one.write(bytes(100_000))
    carry(one, two)
    two.read(70_000)
    assert two.segments()
    one.timeout()
    carry(one, two)
    assert two.unread == 100_000 - 65535


def test_ends_in_any_order() -> None:
    for first_closes, both_at_once in ((True, False), (False, False), (True, True)):
        one, two = connected()
        ends = (one, two) if first_closes else (two, one)
        ends[0].finish()
        if not both_at_once:
            carry(one, two)
            assert ends[1].ended
            assert not ends[0].done
            ends[1].write(b"goes on")
            carry(one, two)
            assert ends[0].read(100) == b"goes on"
        ends[1].finish()
        carry(one, two)
        assert one.done
        assert two.done
        assert not one.waits
        assert not one.reset


def test_an_abort_resets_the_other_end_before_and_after_a_fin() -> None:
    for finished in (False, True):
        one, two = connected()
        if finished:
            two.finish()
            carry(one, two)
        one.abort()
        carry(one, two)
        assert two.reset


def test_a_reset_with_a_wrong_number_is_only_answered() -> None:
    one, two = connected()
    two.take(Segment(12345, 0, RST, 0))
    assert not two.reset
    (challenge,) = two.segments()
    assert challenge.flags == ACK
    one.take(challenge)
    assert one.segments() == []


def test_a_refused_connection_is_reset() -> None:
    one = TcpEnd(7)
    (syn,) = one.segments()
    answer = refusal(syn)
    assert answer is not None
    one.take(answer)
    assert one.reset
    assert refusal(answer) is None


def test_a_syn_is_repeated() -> None:
    one = TcpEnd(7)
    (syn,) = one.segments()
    assert one.segments() == []
    assert one.waits
    one.timeout()
    assert one.segments() == [syn]


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=99), st.none() | st.integers(0, 65535))
def test_segments_are_read_as_they_were_written(seq: int, ack: int, payload: bytes, mss: int | None) -> None:
    segment = Segment(seq, ack, SYN | FIN, 77, payload, mss)
    data = segment.encode((80, 49152), PSEUDO)
    assert decode(data, PSEUDO) == ((80, 49152), segment)
    assert checksum(PSEUDO + len(data).to_bytes(2, "big") + data) == 0
    spoilt = bytearray(data)
    spoilt[9] ^= 4
    assert decode(bytes(spoilt), PSEUDO) is None


@given(st.lists(st.builds(Segment, *[st.integers(0, 2**32 - 1)] * 2, st.integers(0, 63), st.integers(0, 65535))))
def test_no_segment_is_a_surprise(segments: list[Segment]) -> None:
    for end in (TcpEnd(5), connected(5, 6)[0]):
        for segment in segments:
            end.take(segment)
            end.segments()
