"""A client that attacks the network server: it is told no, the server lives, and others are served as before."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capkernel.protocols.network import Datagrams, Dialer, Listener, Network, Pinger, Resolver, Stream
from capkernel.protocols.strategies import hostile_requests
from capkernel.user.syscalls import Message
from servers.clients.publisher import big
from servers.net.lwip.stack import Connection
from tests.servers.net.hostile import MESSAGES
from tests.servers.net.outside import WEB, Played
from tests.servers.net.test_http import Browser
from tests.servers.net.wire import needs_lwip

pytestmark = needs_lwip

CONNECTIONS, CAPS, DATAGRAMS, NEVER_READS, FORGES, SPILLS, WATCHES, LEAVES = range(8)
PROGRAMS = str(Path(__file__).parent / "programs")
INTERFACES = (Network, Dialer, Stream, Listener, Datagrams, Pinger, Resolver)


def attacked(number: int, prepare: Callable[[Played], None] = lambda played: None) -> tuple[int, int, int]:
    """Play an attack, with a browser at work meanwhile: what was refused, allowed, and neither."""
    played = Played(variant="attacked", programs={"client": "net_attacker.elf"})
    prepare(played)
    played.stage.booted.boot()
    played.stage.write_words("report", number)
    assert played.run(lambda: played.stage.words("published", 1)[0])
    browser = Browser(played, ("GET", "/big.bin"), ("GET", "/big.bin"))
    assert played.run(lambda: browser.is_over)
    assert played.run(lambda: played.stage.words("report", 2)[1]), played.stage.booted.output.text
    late = Browser(played, ("GET", "/big.bin"))
    assert played.run(lambda: late.is_over)
    assert [body == big() for _, body in (*browser.answers, *late.answers)] == [True] * 3
    assert not played.stage.system.faults
    _, _, refused, allowed, odd = played.stage.words("report", 5)
    played.close()
    return refused, allowed, odd


def test_connections_are_counted() -> None:
    assert attacked(CONNECTIONS) == (60 - 16, 16, 0)


def test_caps_are_counted() -> None:
    refused, allowed, odd = attacked(CAPS)
    assert (refused + allowed, odd) == (600, 0)
    assert allowed <= 128


def test_a_flood_of_datagrams_is_carried_or_lost() -> None:
    assert attacked(DATAGRAMS) == (0, 1500, 0)


def test_who_never_reads_may_send_no_more() -> None:
    refused, allowed, odd = attacked(NEVER_READS)
    assert (refused, odd) == (6, 0)
    assert allowed < 60


def test_nothing_is_to_be_had_by_forging() -> None:
    refused, allowed, odd = attacked(FORGES)
    assert (allowed, odd) == (0, 0)
    assert refused > 200


def test_lies_about_shared_memory_are_found_out() -> None:
    """Some are none: a request without arguments, of no bytes."""
    refused, allowed, odd = attacked(SPILLS)
    assert (refused + allowed, odd) == (200, 0)
    assert allowed < 20


def test_what_is_no_notification_is_signalled_without_effect() -> None:
    refused, allowed, odd = attacked(WATCHES)
    assert odd == 0
    assert (refused, allowed) == (5, 1)


def test_connections_that_were_closed_and_still_have_much_to_send_make_way() -> None:
    """The server at the other end takes connections and reads nothing."""
    held: list[Connection] = []

    def prepare(played: Played) -> None:
        listener = played.outside.listeners.pop(WEB)

        def hold() -> bool:
            while (connection := listener.accept()) is not None:
                held.append(connection)
            return False

        played.outside.listeners[WEB] = played.outside.stack.listen(1)
        played.outside.serving.append(hold)

    assert attacked(LEAVES, prepare) == (0, 100, 0)
    assert len(held) == 100


def message_for(which: int) -> st.SearchStrategy[tuple[int, Message]]:
    return hostile_requests(INTERFACES[which]).map(lambda message: (which, message))


@pytest.mark.slow
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(st.integers(0, len(INTERFACES) - 1).flatmap(message_for), min_size=40, max_size=120))
def test_hostile_requests_are_answered_and_the_server_lives(messages: list[tuple[int, Message]]) -> None:
    """A request that waits, as the attacker may well ask for, holds up only the attacker."""
    MESSAGES[:] = messages
    played = Played(variant=PROGRAMS, programs={"client": "hostile_client.elf"})
    played.run(lambda: played.stage.words("report", 2)[1], 1500)
    browser = Browser(played, ("GET", "/big.bin"))
    assert played.run(lambda: browser.is_over)
    sent, _, odd = played.stage.words("report", 3)
    assert sent
    assert not odd
    assert not played.stage.system.faults, played.stage.booted.output.text
    assert browser.answers[0][1] == big()
    played.close()
