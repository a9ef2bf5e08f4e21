"""The host's network for a machine, frame by frame. With a real stack: tests/servers/net/test_hostnet.py."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.runtime.hostnet import GATEWAY, GUEST, MAC, HostNet, answer_question
from capkernel.runtime.hosttcp import RST, SYN, Segment, checksum, decode

OURS = bytes.fromhex("020000000001")


def ip(address: str) -> bytes:
    return socket.inet_aton(address)


def packet(protocol: int, destination: str, data: bytes) -> bytes:
    """A frame with an IP packet of the machine's."""
    head = bytes((0x45, 0)) + (20 + len(data)).to_bytes(2, "big") + bytes((0, 1, 0, 0, 64, protocol, 0, 0))
    head += ip(GUEST) + ip(destination)
    return MAC + OURS + b"\x08\0" + head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + data


def pseudo(source: str, destination: str) -> bytes:
    return ip(source) + ip(destination) + b"\0\6"


def test_the_gateway_says_where_it_is_and_nobody_else_does() -> None:
    net = HostNet()
    for address, answers in ((GATEWAY, 1), ("10.0.2.3", 1), (GUEST, 0), ("10.0.2.99", 0)):
        net.send(b"\xff" * 6 + OURS + b"\x08\x06\0\1\x08\0\6\4\0\1" + OURS + ip(GUEST) + bytes(6) + ip(address))
        frames = net.receive(9)
        assert len(frames) == answers
        if answers:
            assert frames[0] == OURS + MAC + b"\x08\x06\0\1\x08\0\6\4\0\2" + MAC + ip(address) + OURS + ip(GUEST)


def test_a_connection_that_is_not_allowed_is_refused() -> None:
    net = HostNet(allowed=[("127.0.0.1", 80)])
    for address, port in ((GATEWAY, 81), ("10.9.9.9", 80)):
        syn = Segment(1000, 0, SYN, 4096).encode((5000, port), pseudo(GUEST, address))
        net.send(packet(6, address, syn))
        (frame,) = net.receive(9)
        decoded = decode(frame[34:], pseudo(address, GUEST))
        assert decoded is not None
        assert decoded[0] == (port, 5000)
        assert decoded[1].flags & RST
        assert decoded[1].ack == 1001


def test_frames_come_only_as_many_as_asked_for() -> None:
    net = HostNet()
    echo = b"\x08\0" + checksum(b"\x08\0\0\0" + bytes(4)).to_bytes(2, "big") + bytes(4)
    for _ in range(5):
        net.send(packet(1, GATEWAY, echo))
    assert [len(net.receive(2)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_taken_port_is_an_error_and_a_saved_state_is_empty() -> None:
    first = HostNet(forwards=[(0, 80)])
    with pytest.raises(OSError, match="in use"):
        HostNet(forwards=[(0, 80), (first.ports[80], 81)])
    assert first.snapshot() == ()
    first.restore(())
    first.close()


def test_without_the_machine_a_connection_waits_for_its_address_and_is_given_up() -> None:
    now = [0.0]
    net = HostNet(forwards=[(0, 80)], clock=lambda: now[0])
    client = socket.create_connection(("127.0.0.1", net.ports[80]))
    client.settimeout(5)
    asked = 0
    for _ in range(100):
        frames = net.receive(99)
        assert all(frame[12:14] == b"\x08\x06" for frame in frames)
        asked += len(frames)
        now[0] += 1
    assert 3 <= asked <= 12
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    client.close()
    net.close()


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_random_frames_are_lost(frames: list[bytes]) -> None:
    net = HostNet(names={"a": "10.0.0.1"})
    for frame in frames:
        net.send(frame)
        for kind in (b"\x08\0\x45", b"\x08\6\0\1\x08\0\6\4"):
            net.send(MAC + OURS + kind + frame)
        for protocol, address in ((1, GATEWAY), (6, GATEWAY), (17, "10.0.2.3"), (6, "10.0.2.3")):
            net.send(packet(protocol, address, frame))
    net.receive(1000)


@given(st.binary(max_size=60))
def test_malformed_questions_have_no_answer_or_a_short_one(message: bytes) -> None:
    for question in (message, b"\0\1\1\0\0\1" + bytes(6) + message):
        answer = answer_question(question, {"": "10.0.0.1"})
        assert answer is None or len(answer) <= len(question) + 16
