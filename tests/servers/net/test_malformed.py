"""Frames that no peer should send: the process lives, the stack works, nothing leaks, no byte of a stream changes."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers.net.wire import SERVER, Faults, Sender, Wire, needs_lwip, used, wire

pytestmark = needs_lwip

CAUGHT: list[bytes] = []


def real_frames() -> list[bytes]:
    """Frames of a conversation with everything in it."""
    if not CAUGHT:
        with wire(1, Faults(loss=0.05, duplication=0.05, most_delay=9)) as net:
            net.tamper = lambda frame: CAUGHT.append(frame) or frame
            ours, theirs, _ = net.connected()
            senders = [Sender(ours, bytes(20_000)), Sender(theirs, bytes(9_000))]
            net.carry(*senders)
            net.client.ping(SERVER, identifier=1, sequence=1, payload=bytes(3000))
            net.client.udp().send(bytes(5000), SERVER, 53)
            net.run()
    return CAUGHT


def is_well(net: Wire, before: list[dict[str, int]]) -> None:
    """The stack answers and carries a stream; then all that it used is free again."""
    net.run()
    net.tamper = lambda frame: frame
    for stack in net.ends:
        list(stack.echo_replies())
    net.client.ping(SERVER, identifier=9, sequence=9)
    net.run(limit=5_000)
    assert [reply.identifier for reply in net.client.echo_replies()] == [9]
    ours, theirs, listener = net.connected(4321)
    senders = [Sender(ours, b"well" * 5000), Sender(theirs, b"good" * 5000)]
    assert net.carry(*senders)
    assert senders[0].received == b"good" * 5000
    for end in (ours, theirs, listener):
        end.close()
    net.run()
    assert [used(stack) for stack in net.ends] == before


@settings(deadline=None, max_examples=150)
@given(st.lists(st.binary(max_size=1600), max_size=10))
def test_random_bytes(frames: list[bytes]) -> None:
    with wire() as net:
        before = [used(stack) for stack in net.ends]
        for frame in frames:
            net.server.input(frame)
        is_well(net, before)


HEADS = st.sampled_from((b"\x08\x00\x45", b"\x08\x00\x46", b"\x08\x00\x4f", b"\x08\x06\x00\x01\x08\x00\x06\x04"))


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(HEADS, st.binary(max_size=200)), max_size=10))
def test_random_packets(frames: list[tuple[bytes, bytes]]) -> None:
    with wire() as net:
        before = [used(stack) for stack in net.ends]
        for head, rest in frames:
            net.server.input(net.server.mac + net.client.mac + head + rest)
        is_well(net, before)


def with_checksums(frame: bytes) -> bytes:
    """Make the checksums right again, so that the damage gets past them."""
    data = bytearray(frame)
    header = (data[14] & 15) * 4
    if data[12:14] != b"\x08\x00" or header < 20 or len(data) < 14 + header + 20:
        return frame
    data[24:26] = bytes(2)
    data[24:26] = _sum(data[14 : 14 + header])
    at = {6: 16, 17: 6, 1: 2}.get(data[23])
    end = min(len(data), 14 + int.from_bytes(data[16:18], "big"))
    body = data[14 + header : end]
    if at is None or len(body) < at + 2:
        return bytes(data)
    body[at : at + 2] = bytes(2)
    pseudo = b"" if data[23] == 1 else bytes((*data[26:34], 0, data[23])) + len(body).to_bytes(2, "big")
    body[at : at + 2] = _sum(pseudo + body)
    data[14 + header : end] = body
    return bytes(data)


def _sum(data: bytes | bytearray) -> bytes:
    """The Internet's checksum."""
    padded = bytes(data) + bytes(len(data) % 2)
    total = sum(int.from_bytes(padded[at : at + 2], "big") for at in range(0, len(padded), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (0xFFFF - total).to_bytes(2, "big")


def damaged(chance: random.Random, frame: bytes) -> bytes:
    """A frame with some bytes changed, or cut off, or both."""
    data = bytearray(frame)
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        # Most damage where it counts: in the headers.
        at = chance.randrange(12, 75 if chance.random() < 0.9 else len(data))
        if at < len(data):
            data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    if chance.random() < 0.2:
        del data[chance.randrange(len(data) + 1) :]
    return with_checksums(bytes(data)) if len(data) > 34 and chance.random() < 0.7 else bytes(data)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32))
def test_damaged_frames_of_a_real_conversation(seed: int) -> None:
    chance = random.Random(seed)
    with wire(1) as net:
        before = [used(stack) for stack in net.ends]
        listener = net.server.listen(80)
        sockets = [listener, net.server.udp(53)]
        for frame in real_frames():
            net.server.input(damaged(chance, frame))
            if chance.random() < 0.05:
                net.run(limit=chance.choice((1, 300, 5000)))
        while connection := listener.accept():
            sockets.append(connection)
        for socket in reversed(sockets):
            socket.close()
        is_well(net, before)


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 2**32))
def test_a_live_connection_whose_frames_are_damaged(seed: int) -> None:
    """With right checksums on wrong bytes a stream may break or change, but only a stream."""
    chance = random.Random(seed)
    with wire(seed) as net:
        before = [used(stack) for stack in net.ends]
        ours, theirs, listener = net.connected()
        net.tamper = lambda frame: damaged(chance, frame) if chance.random() < 0.1 else frame
        senders = [Sender(ours, bytes(30_000)), Sender(theirs, bytes(30_000))]
        for sender in senders * 3:
            net.run(limit=20_000)
            if sender.connection.error is None and not sender.shut:
                sender.go_on()
        for end in (ours, theirs):
            end.abort()
        while connection := listener.accept():
            connection.abort()
        listener.close()
        is_well(net, before)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_bad_checksums_change_no_stream(seed: int) -> None:
    chance = random.Random(seed)
    data = chance.randbytes(60_000)

    def flip(frame: bytes) -> bytes:
        at = chance.randrange(14, len(frame))
        spoilt = bytearray(frame)
        spoilt[at] ^= 1 << chance.randrange(8)
        return bytes(spoilt) if chance.random() < 0.1 and frame[12:14] == b"\x08\x00" else frame

    with wire(seed) as net:
        net.tamper = flip
        ours, theirs, _ = net.connected()
        senders = [Sender(ours, data), Sender(theirs, data[::-1])]
        assert net.carry(*senders)
        assert senders[0].received == data[::-1]
        assert senders[1].received == data
