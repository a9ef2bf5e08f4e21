"""Every cap that a ``Network`` makes, used by a client; and what the card's driver says to whoever is its client."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capkernel.protocols.link import Link
from capkernel.protocols.strategies import hostile_requests, requests_of
from capkernel.user.syscalls import Message
from tests.servers.net.hostile import MESSAGES
from tests.servers.net.outside import Played
from tests.servers.net.wire import CLIENT, needs_lwip

pytestmark = needs_lwip

PROGRAMS = str(Path(__file__).parent / "programs")
CHECKS = 31
NOT_CHECKS = {26, 27, 28, 29}
"""Numbers that stand for listeners that are only opened."""


@pytest.fixture
def played() -> Iterator[Played]:
    made = Played(variant=PROGRAMS, programs={"client": "sockets_client.elf"})
    yield made
    assert not made.stage.system.faults
    made.close()


def test_what_the_caps_of_a_network_do(played: Played) -> None:
    """UDP there and back, ends of streams, what revoking closes, and which arguments are wrong."""
    outside = played.outside
    sockets = [outside.stack.udp(port) for port in (10009, 10010, 10011)]

    def answer() -> bool:
        for socket, reply_from in zip(sockets, (0, 2, 2), strict=True):
            while found := socket.receive():
                sockets[reply_from].send(found[0][::-1], found[1].address, found[1].port)
        return False

    def connected() -> bool:
        if not played.stage.words("report", 3)[2]:
            return False
        outside.stack.connect(CLIENT, 8080).send(b"word")
        return True

    outside.serving += [answer, connected]
    assert played.run(lambda: played.stage.words("report", 1)[0], 60_000)
    held = played.stage.words("report", 2)[1]
    expected = sum(1 << number for number in range(CHECKS) if number not in NOT_CHECKS)
    assert held == expected, played.stage.booted.output.text


MESSAGES_TO_LINK: st.SearchStrategy[list[Message]] = st.lists(
    hostile_requests(Link) | requests_of(Link), min_size=20, max_size=60
)


@pytest.mark.slow
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(MESSAGES_TO_LINK)
def test_the_driver_answers_hostile_requests(messages: list[Message]) -> None:
    MESSAGES[:] = [(0, message) for message in messages]
    played = Played(variant=PROGRAMS, programs={"network": "link_attacker.elf"})
    assert played.run(lambda: played.stage.words("packets", 2)[1], 3_000)
    sent, _, odd = played.stage.words("packets", 3)
    assert (sent, odd) == (len(messages), 0)
    assert not [fault for fault in played.stage.system.faults if fault[0] != "web"]
    assert "card" not in played.stage.booted.output.text
    assert played.card.port.refused == 0
    played.close()
