"""Gateways over any wire: at most once, never more than a token says, nothing after a revocation, and all goes on."""

from typing import Any

import pytest

pytest.importorskip("biscuit_auth", reason="NOT RUN: there is no biscuit-python (pip install 'capkernel[remote]')")

from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.failures import Gone, NotFound, NotPermitted, QuotaExceeded
from capkernel.protocols.remote import Revoked, Terms, Uncertain, Unreachable
from capkernel.user.tasks import Condition
from policies.remote.clients.careless import NUMBERS, CarelessChecks
from tests.remote.machines import START, Counter, Net, Thing, Wire

PAIRS = (frozenset("ab"), frozenset("ac"), frozenset("bc"))
OPERATIONS = ("Counter.add", "Counter.look", "Counter.child", "Counter.use", "Counter.same")
weathers = st.tuples(st.integers(0, 1 << 30), *[st.sampled_from([0, 0.1, 0.3])] * 3)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.sampled_from("ab"), st.booleans()),
        st.tuples(st.just("hand over"), st.sampled_from("ab"), st.booleans()),
        st.tuples(st.just("cut"), st.sampled_from(PAIRS)),
        st.tuples(st.just("heal")),
        st.tuples(st.just("wait"), st.integers(1, 80)),
        st.tuples(st.just("restart"), st.sampled_from("abc")),
    ),
    max_size=14,
)


def healed(net: Net) -> None:
    """A good wire, and time for all that waits to end."""
    net.wire.cut, net.wire.loss, net.wire.double, net.wire.late = set(), 0, 0, 0
    net.pass_time(800_000)


@settings(max_examples=25, deadline=None)
@given(weathers, steps)
def test_whatever_the_wire_does_a_call_is_done_at_most_once_and_afterwards_all_goes_on(
    weather: tuple[int, float, float, float], history: list[tuple[Any, ...]]
) -> None:
    net = Net("a", "b", "c")
    there = {name: net.lookup(name, "c") for name in "ab"}
    helper = net.lookup("a", "b")
    net.wire.random.seed(weather[0])
    net.wire.loss, net.wire.double, net.wire.late = weather[1:]
    asked: dict[int, list[Any]] = {}
    for mark, step in enumerate(history):
        match step:
            case ("call", name, at_once):
                asked[mark] = net[name].begin(there[name].add(mark))
                if at_once:
                    net.turn()
            case ("hand over", _, at_once):
                asked[mark] = net["a"].begin(helper.use(there["a"], mark))
                if at_once:
                    net.turn()
            case ("cut", pair):
                net.wire.cut.add(pair)
            case ("heal",):
                net.wire.cut.clear()
            case ("wait", turns):
                net.pass_time(turns * 5_000)
            case ("restart", "c"):
                net["c"].restart()
            case _:
                pass
    healed(net)
    done = net["c"].root.marks
    assert len(done) == len(set(done))
    for mark, outcome in asked.items():
        assert outcome, "a call never ended"
        if isinstance(outcome[0], Unreachable):
            assert mark not in done
        elif isinstance(outcome[0], Exception):
            assert isinstance(outcome[0], Uncertain), outcome[0]
        else:
            assert mark in done
    for name in "ab":
        try:
            net.ask(name, there[name].look())
        except Uncertain:
            # Its session was with a gateway that is no more; now it knows.
            net.ask(name, there[name].look())


def test_without_numbers_a_bad_wire_does_a_call_twice() -> None:
    """The property above can fail: it does when the check is left out."""
    net = Net("a", "c", wire=Wire(1), checks={"c": CarelessChecks(frozenset({NUMBERS}))})
    there = net.lookup("a", "c")
    net.wire.double = 1
    net.ask("a", there.add(1))
    net.pass_time(100_000)
    assert len(net["c"].root.marks) > 1


@settings(max_examples=12, deadline=None)
@given(st.sets(st.sampled_from(OPERATIONS)), st.sets(st.sampled_from(OPERATIONS)), st.integers(1, 3), st.integers(1, 3))
def test_nobody_does_more_than_each_block_of_a_token_says_nor_through_what_was_reached_by_it(
    first: set[str], second: set[str], until: int, sooner: int
) -> None:
    net = Net("a", "b", "c")
    token = net["c"].gateway.issue(net["c"].root, Counter, "a", Terms(sorted(first), START + until))
    token = net["a"].gateway.attenuate(token, Terms(sorted(second), START + sooner))
    token = net["a"].gateway.delegate(token, "b")
    for name in "ab":
        proxy = net.ask(name, net[name].gateway.accept(token))
        held = {"": proxy}
        if "Counter.child" in first & second:
            held["child"] = net.ask(name, proxy.child())
        for each in held.values():
            for operation in OPERATIONS:
                assert _does(net, name, each, operation) is (operation in first & second), operation
    net.now_us += 1_000_000 * min(until, sooner)
    assert not any(_does(net, name, proxy, operation) for operation in OPERATIONS)


def _does(net: Net, name: str, proxy: Any, operation: str) -> bool:
    ways = {
        "Counter.add": lambda: proxy.add(1), "Counter.look": proxy.look, "Counter.child": proxy.child,
        "Counter.use": lambda: proxy.use(Thing(), 1), "Counter.same": lambda: proxy.same(Thing()),
    }  # fmt: skip
    try:
        net.ask(name, ways[operation]())
    except NotPermitted:
        return False
    return True


@settings(max_examples=15, deadline=None)
@given(weathers, st.integers(0, 30), st.sampled_from([None, *PAIRS]), st.booleans())
def test_once_a_revocation_is_answered_nothing_works_anywhere(
    weather: tuple[int, float, float, float], turns: int, cut: frozenset[str] | None, is_restarted: bool
) -> None:
    net = Net("a", "b", "c")
    root = net.lookup("a", "c")
    child = net.ask("a", root.child())
    helper = net.lookup("a", "b")
    net.ask("a", helper.use(root, 100))
    net.ask("a", helper.use(child, 101))
    net.wire.random.seed(weather[0])
    net.wire.loss, net.wire.double, net.wire.late = weather[1:]
    calls = [net["a"].begin(root.add(mark)) for mark in range(3)]
    net.pass_time(turns * 5_000)
    if cut is not None:
        net.wire.cut.add(cut)
    revoked = net.ask("c", net["c"].gateway.withdraw("root", "a"))
    assert {*revoked.told, *revoked.silent} >= {"a"}
    done = len(net["c"].root.marks), len(net["c"].root.children[0].marks)
    if is_restarted:
        net["c"].restart()
    healed(net)
    for name, proxy in (("a", root), ("a", child), *(("b", each) for each in net["b"].root.others)):
        for _ in range(2):
            with pytest.raises((Gone, Uncertain)):
                net.ask(name, proxy.add(200))
    with pytest.raises((NotFound, Uncertain)):
        net.lookup("a", "c")
    with pytest.raises(NotFound):
        net.lookup("a", "c")
    assert done == (len(net["c"].root.marks), len(net["c"].root.children[0].marks))
    assert all(calls)


def test_a_revocation_names_those_who_could_not_be_told() -> None:
    net = Net("a", "b", "c")
    root, helper = net.lookup("a", "c"), net.lookup("a", "b")
    net.ask("a", helper.use(root, 1))
    net.wire.cut.add(frozenset("bc"))
    assert net.ask("c", net["c"].gateway.withdraw("root", "a")) == Revoked(["a"], ["b"])


def test_a_holder_ends_what_it_handed_on_and_keeps_its_own() -> None:
    net = Net("a", "b", "c")
    gateway = net["a"].gateway
    token = net["c"].gateway.issue(net["c"].root, Counter, "a", Terms(None, START + 100))
    mine = net.ask("a", gateway.accept(token))
    handed = gateway.delegate(token, "b")
    theirs = net.ask("b", net["b"].gateway.accept(handed))
    net.ask("b", theirs.add(1))
    assert net.ask("a", gateway.revoke(handed)) == Revoked(["b"], [])
    with pytest.raises(Gone):
        net.ask("b", theirs.add(2))
    net.ask("a", mine.add(3))
    assert net["c"].root.marks == [1, 3]


def test_an_introduction_is_no_detour_and_needs_the_introducer_no_more() -> None:
    net = Net("a", "b", "c")
    root, helper = net.lookup("a", "c"), net.lookup("a", "b")
    net.ask("a", helper.use(root, 1))
    net.wire.cut |= {frozenset("ab"), frozenset("ac")}
    start = len(net.wire.seen)
    net.ask("b", net["b"].root.others[-1].add(2))
    assert {source + target for source, target, _ in net.wire.seen[start:]} == {"bc", "cb"}
    assert net["c"].root.marks == [1, 2]


def test_an_object_that_comes_home_is_itself_again() -> None:
    net = Net("a", "c")
    root = net.lookup("a", "c")
    mine = Thing()
    assert net.ask("a", root.same(root))
    net.ask("a", root.use(mine, 1))
    assert mine.marks == [1]
    held = net["c"].root.others[-1]
    other = net.lookup("c", "a")
    net["a"].root.known = mine
    assert not net.ask("c", other.same(held))


def test_who_may_not_do_all_with_an_object_cannot_have_it_done_by_handing_it_back() -> None:
    net = Net("a", "c", operations=["Counter.look", "Counter.use"])
    root = net.lookup("a", "c")
    with pytest.raises(NotPermitted):
        net.ask("a", root.use(root, 1))
    assert not net["c"].root.marks


def test_what_is_dropped_is_forgotten_on_both_machines() -> None:
    net = Net("a", "c")
    root = net.lookup("a", "c")
    child = net.ask("a", root.child())
    before = len(net["c"].gateway.things)
    net.ask("a", child.closed())
    net.pass_time(50_000)
    assert len(net["c"].gateway.things) == before - 1
    with pytest.raises(Gone):
        net.ask("a", child.look())
    net.ask("a", root.look())


def test_a_clock_that_is_ahead_lets_nobody_use_a_token_longer() -> None:
    for skew in (-100, 100):
        net = Net("a", "c", skew={"a": skew}, seconds=2)
        root = net.lookup("a", "c")
        if skew < 0:
            net.ask("a", root.look())
        net.now_us += 2_000_000
        with pytest.raises(NotPermitted):
            net.ask("a", root.look())


def test_what_a_partition_does_is_said_clearly() -> None:
    net = Net("a", "c")
    root = net.lookup("a", "c")
    net.wire.cut.add(frozenset("ac"))
    with pytest.raises(Uncertain, match="c fell silent before it answered: whether it did this is not known"):
        net.ask("a", root.add(1))
    with pytest.raises(Unreachable, match="c does not answer; nothing was asked"):
        net.ask("a", root.add(2))
    net.wire.cut.clear()
    assert net.ask("a", root.add(3)) == 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=20), st.integers(0, 255))
def test_no_packet_from_anybody_stops_a_gateway(packets: list[bytes], flip: int) -> None:
    net = Net("a", "c")
    root = net.lookup("a", "c")
    genuine = [packet for _, target, packet in net.wire.seen if target == "c"]
    for packet in [*packets, *(each[:flip] + bytes([flip]) + each[flip + 1 :] for each in genuine)]:
        net.wire.waiting.append(("a", "c", packet))
        net.wire.waiting.append(("x", "c", packet))
        net.carry()
    assert net.ask("a", root.add(1)) == 1


def test_a_machine_has_a_limit_to_what_it_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policies.remote.gateway.OBJECTS", 4)
    net = Net("a", "c")
    root = net.lookup("a", "c")
    for _ in range(3):
        net.ask("a", root.child())
    with pytest.raises(QuotaExceeded, match="4 objects"):
        net.ask("a", root.child())
    net.ask("a", root.look())


def test_a_machine_s_call_that_fails_ends_nothing_that_another_machine_was_lent_meanwhile() -> None:
    net = Net("a", "b", "c")
    at_a, at_b = net.lookup("a", "c"), net.lookup("b", "c")
    until = Condition()

    async def look() -> int:
        await until.wait()
        raise NotFound("there is none")

    net["c"].root.look = look
    failing = net["b"].begin(at_b.look())
    net.carry()
    lent = net.ask("a", at_a.child())
    until.notify()
    net.carry()
    assert isinstance(failing[0], NotFound)
    assert net.ask("a", lent.add(1)) == 1
