"""Attackers: each fails, and succeeds against gateways that leave out the one check that stops it."""

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("biscuit_auth", reason="NOT RUN: there is no biscuit-python (pip install 'capkernel[remote]')")

from capkernel.protocols.failures import Failure, NotPermitted
from capkernel.protocols.remote import Terms, Unreachable
from capkernel.tools.demo.remote.forging import forged, grafted, stripped
from policies.remote import tokens
from policies.remote.clients.careless import (
    EXPIRY,
    HOLDER,
    NUMBERS,
    PRESENTED,
    REVOCATION,
    SESSION,
    SIGNATURES,
    TRANSCRIPT,
    CarelessChecks,
)
from policies.remote.clients.rogue_gateway import RogueGateway, Unshown
from policies.remote.handshake import Hello, Kind
from policies.remote.objects import SKEW, Reference
from tests.remote.machines import START, Counter, Net

biscuit: Any = importlib.import_module("biscuit_auth")
LATER = START + 1000
RECORD = slice(1, 9)
"""Where a record says of which session it is."""


def careless(*left_out: str) -> CarelessChecks:
    return CarelessChecks(frozenset(left_out))


def world(*left_out: str, **options: Any) -> Net:
    """c has an object; m is an attacker with a gateway of its own making."""
    return Net("a", "c", "m", checks={"c": careless(*left_out)}, gateways={"m": RogueGateway}, **options)


def issued(net: Net, machine: str, operations: list[str] | None = None, until: int = LATER) -> bytes:
    """A token of c's for a machine."""
    return net["c"].gateway.issue(net["c"].root, Counter, machine, Terms(operations, until))


def wins(net: Net, token: bytes) -> bool:
    """Whether the attacker gets something done with a token."""
    try:
        proxy = net.ask("m", net["m"].gateway.accept(token))
        net.ask("m", proxy.add(1))
    except Failure:
        return False
    return bool(net["c"].root.marks)


def both(check: str) -> Iterator[tuple[bool, Net]]:
    """With the check, and without it; whether the attacker should win."""
    yield False, world()
    yield True, world(check)


def test_what_m_was_given_it_may_use() -> None:
    net = world()
    assert wins(net, issued(net, "m"))


def test_a_token_signed_with_another_key_is_refused_because_signatures_are_verified() -> None:
    for should_win, net in both(SIGNATURES):
        genuine, attacker = issued(net, "a"), net.identities["m"]
        assert wins(net, forged(genuine, attacker.public, attacker.secret)) is should_win


def test_a_block_cannot_be_taken_off_because_signatures_are_verified() -> None:
    for should_win, net in both(SIGNATURES):
        narrow = net["c"].gateway.attenuate(issued(net, "m"), Terms(["Counter.look"], LATER))
        assert not wins(net, narrow)
        assert wins(net, stripped(narrow)) is should_win


def test_a_delegation_cannot_be_put_on_another_token_because_signatures_are_verified() -> None:
    for should_win, net in both(SIGNATURES):
        gateway = net["a"].gateway
        narrow, broad = issued(net, "a", ["Counter.look"]), issued(net, "a")
        assert not wins(net, gateway.delegate(narrow, "m"))
        assert wins(net, grafted(broad, gateway.delegate(narrow, "m"))) is should_win


@pytest.mark.parametrize(
    "code",
    [
        "check if f($a), f($b), f($c), f($d), f($e), f($g), $a + $b + $c + $d + $e + $g < 0",
        "r($a, $b, $c, $d, $e, $g) <- f($a), f($b), f($c), f($d), f($e), f($g)",
        "f(0)",
        'object("x") <- f($a), gateway("c")',
        "check all now($t), $t < 5",
        "reject if now($t), $t < 5",
        'check if now($t), $t < 5 or operation("Counter.add")',
        "check if now($t), $t < 5 trusting previous",
        'object("x")',
        "now(0)",
    ],
)
def test_a_token_that_takes_any_time_to_evaluate_is_refused_because_it_says_what_no_gateway_says(code: str) -> None:
    net = world()
    token = tokens.read(issued(net, "m"), net["c"].gateway.identity.public)
    facts = "".join(f"f({number}); " for number in range(40))
    for text in (code, facts + code):
        appended = bytes(token.biscuit.append(biscuit.BlockBuilder(text)).to_bytes())
        with pytest.raises(NotPermitted, match="what no gateway says"):
            tokens.read(appended, net["c"].gateway.identity.public)
        assert not wins(net, appended)


def test_a_stolen_token_is_of_no_use_because_it_is_bound_to_its_holder() -> None:
    for should_win, net in both(HOLDER):
        assert wins(net, issued(net, "a")) is should_win


def test_a_token_is_of_no_use_after_its_end_because_that_is_looked_at_in_each_call() -> None:
    for should_win, net in both(EXPIRY):
        token = issued(net, "m", until=START + 1)
        proxy = net.ask("m", net["m"].gateway.accept(token))
        net.ask("m", proxy.look())
        net.pass_time(1_000_000 * (SKEW + 2))
        assert wins(net, token) is should_win


def test_a_revoked_token_is_of_no_use_though_the_importer_cuts_nothing_because_it_is_refused_where_it_leads() -> None:
    for should_win, net in both(REVOCATION):
        token = issued(net, "m")
        proxy = net.ask("m", net["m"].gateway.accept(token))
        net.ask("m", proxy.look())
        net.ask("c", net["c"].gateway.revoke(token))
        try:
            net.ask("m", proxy.add(1))
        except Failure:
            assert not should_win
        assert bool(net["c"].root.marks) is should_win


def test_a_call_without_a_token_is_refused_because_one_must_have_been_shown() -> None:
    for should_win, net in both(PRESENTED):
        try:
            proxy: Any = net.ask("m", _unshown(net))
            net.ask("m", proxy.add(1))
        except Failure:
            assert not should_win
        assert bool(net["c"].root.marks) is should_win


async def _unshown(net: Net) -> Any:
    gateway = net["m"].gateway
    token = Unshown(None, b"", "root", Counter.number, b"", frozenset(), ())
    return gateway._inside(Reference(gateway._machine("c"), token, Counter))


# On the wire


def pair(*left_out: str, **options: Any) -> Net:
    """Two machines, and somebody on the wire between them."""
    return Net("a", "c", checks={name: careless(*left_out) for name in ("a", "c")}, **options)


def inject(net: Net, packet: bytes) -> None:
    """Somebody sends c what looks like a's."""
    net.wire.waiting.append(("a", "c", packet))
    net.carry()


def records(net: Net, start: int) -> list[bytes]:
    """What a has sent to c in sessions since then."""
    return [packet for source, _, packet in net.wire.seen[start:] if source == "a" and packet[0] == Kind.RECORD]


def test_an_old_call_sent_again_is_not_done_again_because_of_its_number() -> None:
    for should_win, left_out in ((False, ()), (True, (NUMBERS,))):
        net = pair(*left_out)
        proxy = net.lookup("a", "c")
        start = len(net.wire.seen)
        net.ask("a", proxy.add(1))
        for packet in records(net, start):
            inject(net, packet)
        assert (len(net["c"].root.marks) > 1) is should_win


def test_a_call_put_into_another_session_is_refused_because_records_are_bound_to_theirs() -> None:
    for should_win, left_out in ((False, ()), (True, (SESSION,))):
        net = pair(*left_out)
        proxy = net.lookup("a", "c")
        start = len(net.wire.seen)
        net.ask("a", proxy.add(1))
        old = records(net, start)
        net.wire.cut = {frozenset("ac")}
        with pytest.raises(Failure):
            net.ask("a", proxy.look())
        net.wire.cut = set()
        start = len(net.wire.seen)
        net.ask("a", proxy.look())
        new = records(net, start)[0]
        for packet in old:
            inject(net, packet[:1] + new[RECORD] + packet[9:])
        assert (len(net["c"].root.marks) > 1) is should_win


def test_a_whole_session_sent_again_is_refused_because_the_other_side_s_key_is_fresh() -> None:
    net = pair()
    proxy = net.lookup("a", "c")
    net.ask("a", proxy.add(1))
    said = [packet for source, _, packet in net.wire.seen if source == "a"]
    net["c"].restart()
    for packet in said:
        inject(net, packet)
    assert net["c"].root.marks == [1]
    assert not net["c"].gateway.desk.sessions


@pytest.mark.parametrize("suites", [(1, 2)])
def test_the_two_cannot_be_made_to_speak_in_the_open_because_what_was_offered_is_signed(
    suites: tuple[int, ...],
) -> None:
    for should_win, left_out in ((False, ()), (True, (TRANSCRIPT,))):
        net = pair(*left_out, suites=suites)

        def between(source: str, target: str, packet: bytes) -> bytes:
            if packet[0] != Kind.HELLO:
                return packet
            hello = Hello.decode(packet)
            return Hello(hello.session, (1,), hello.name, hello.key).encode()

        net.wire.between = between
        try:
            net.ask("a", net.lookup("a", "c").add(1))
        except Unreachable:
            assert not should_win
        assert any(b"Counter" in packet or b"root" in packet for _, _, packet in net.wire.seen) is should_win


def test_a_version_that_is_not_allowed_is_not_agreed_on() -> None:
    net = pair()
    packet = Hello(b"8 bytes!", (1,), "a", bytes(32)).encode()
    inject(net, packet)
    assert not any(source == "c" for source, _, _ in net.wire.seen)


def test_tokens_for_the_attacks_are_what_they_seem() -> None:
    net = world()
    narrow = net["c"].gateway.attenuate(issued(net, "m"), Terms(["Counter.look"], LATER))
    assert len(stripped(narrow)) < len(narrow)
    assert tokens.issuer_of(stripped(narrow)) == "c"
    assert tokens.issuer_of(forged(narrow, bytes(32), bytes(32))) == "c"
