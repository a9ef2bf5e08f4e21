"""Pings, UDP, and a DNS question."""

import dns.message
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servers.net.lwip.stack import DATAGRAM_LIMIT, Change, EchoReply, NetError
from tests.servers.net.wire import CLIENT, SERVER, Faults, needs_lwip, used, wire

pytestmark = needs_lwip


def test_a_ping_is_answered() -> None:
    with wire() as net:
        net.client.ping(SERVER, identifier=7, sequence=1, payload=b"are you there")
        net.run(limit=100)
        (reply,) = net.client.echo_replies()
        assert reply == EchoReply(reply.address, 7, 1, b"are you there")
        assert str(reply.address) == SERVER
        assert not list(net.client.echo_replies())


def test_a_ping_to_itself_is_answered() -> None:
    with wire() as net:
        net.client.ping(CLIENT, identifier=7, sequence=1)
        assert [str(reply.address) for reply in net.client.echo_replies()] == [CLIENT]


def test_nobody_else_answers_a_ping() -> None:
    with wire() as net:
        before = used(net.client)
        net.client.ping("10.0.2.77", identifier=7, sequence=1)
        net.run()
        assert not list(net.client.echo_replies())
        assert used(net.client) == before


@settings(deadline=None, max_examples=40)
@given(st.lists(st.binary(max_size=9000), max_size=12), st.integers(0, 1000))
def test_datagrams_arrive_whole_and_in_order_on_a_good_cable(messages: list[bytes], seed: int) -> None:
    with wire(seed) as net:
        server, client = net.server.udp(4000), net.client.udp()
        before = [used(stack) for stack in net.ends]
        for message in messages:
            client.send(message, SERVER, 4000)
            net.run(limit=100)
            received = server.receive()
            assert received is not None
            assert received[0] == message
            assert (str(received[1].address), received[1].port) == (CLIENT, client.local.port)
        assert server.receive() is None
        assert [used(stack) for stack in net.ends] == before


def test_the_longest_datagram_travels_in_fragments() -> None:
    # lwIP puts together what came in at most 10 packets.
    with wire() as net:
        server, client = net.server.udp(4000), net.client.udp()
        client.send(bytes(10 * 1480 - 8), SERVER, 4000)
        net.run(limit=100)
        assert len((server.receive() or (b"",))[0]) == 10 * 1480 - 8
        with pytest.raises(NetError, match="InvalidValue"):
            client.send(bytes(DATAGRAM_LIMIT + 1), SERVER, 4000)


def test_lost_fragments_are_forgotten_in_time() -> None:
    with wire(5, Faults(loss=0.3)) as net:
        before = [used(stack) for stack in net.ends]
        client = net.client.udp()
        for _ in range(20):
            client.send(bytes(6000), SERVER, 4000)
        client.close()
        net.run()
        assert [used(stack) for stack in net.ends] == before


def test_what_nobody_receives_is_dropped_and_counted() -> None:
    with wire() as net:
        before = used(net.server)
        server, client = net.server.udp(4000), net.client.udp()
        for number in range(70):
            client.send(b"%d" % number, SERVER, 4000)
            net.run(limit=10)
        assert server.dropped == 6
        assert [change for _, change in net.server.changes()] == [Change.READABLE]
        assert (server.receive() or (b"",))[0] == b"0"
        server.close()
        assert used(net.server) == before


def test_a_question_of_dnspython_is_answered() -> None:
    with wire() as net:
        server, client = net.server.udp(53), net.client.udp()
        question = dns.message.make_query("www.example.org", "A", id=77)
        client.send(question.to_wire(), SERVER, 53)
        net.run(limit=100)
        asked, peer = server.receive() or (b"", None)
        assert peer is not None
        answer = dns.message.make_response(dns.message.from_wire(asked))
        answer.answer.append(dns.rrset.from_text("www.example.org.", 60, "IN", "A", "10.1.2.3"))
        server.send(answer.to_wire(), peer.address, peer.port)
        net.run(limit=100)
        got, _ = client.receive() or (b"", None)
        reply = dns.message.from_wire(got)
        assert question.is_response(reply)
        assert str(reply.answer[0][0]) == "10.1.2.3"
