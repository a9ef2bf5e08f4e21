"""The desk: whatever is asked, whoever fails, and wherever the broker dies, caps and book agree and nothing is lost.

The model of the caps is a dictionary that outlives the broker, as the slots do; the ledger is the real one in memory
that outlives it, too. A crash is an exception between any two things that the broker does to the world.
"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from capkernel.abi import syscalls as sc
from capkernel.abi.words import WORD_MASK
from capkernel.protocols.brokering import ALL_RIGHTS, READ, WRITE
from capkernel.protocols.failures import Failure, Gone, NoSpace, NotFound, NotPermitted, QuotaExceeded, ServerDied
from capkernel.user import operations as ops
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import steps_of
from policies.council import Council
from policies.desk import ASKS_PER_SECOND, Desk
from policies.ledger import Ledger, LedgerError
from policies.office import Entry

SUBJECTS = ("alice", "bob")
SERVICES = ("plans", "news")
RULES = """
[[policy]]
kind = "quota"
most = { "*" = 3 }
[[policy]]
kind = "lease"
longest_us = { "*" = 1000 }
[[policy]]
kind = "two persons"
approvers = { plans = ["bob"] }
"""
STRICTER = RULES.replace('"*" = 3', '"*" = 1')
SIZE = 1 << 15
SEND = sc.SEND & WORD_MASK
"""The system call by which a server answers with a cap."""


class Crash(Exception):
    """The broker is no more."""


class World:
    """What outlives the broker; ``left`` counts what it may still do before it dies (None: as much as it likes)."""

    def __init__(self) -> None:
        self.memory = bytearray(SIZE)
        self.caps: dict[int, tuple[str, int]] = {}
        self.trail: list[str] = []
        self.now_us = 1
        self.left: int | None = None
        self.is_dead: set[str] = set()

    def act(self, who: str = "") -> None:
        if self.left == 0:
            raise Crash
        if self.left is not None:
            self.left -= 1
        if who in self.is_dead:
            raise ServerDied(f"{who} does not answer")

    def run(self, work: Any) -> Any:
        """Run something of the broker's."""
        steps, result = steps_of(work), None
        while True:
            try:
                kind, *arguments = steps.send(result)
            except StopIteration as end:
                return end.value
            if kind == ops.CLOCK:
                result = self.now_us * 10
            elif kind == ops.READ:
                result = bytes(self.memory[arguments[0] : arguments[0] + arguments[1]])
            elif kind == SEND:
                result = (0,) * 6
            else:
                assert kind == ops.WRITE
                self.act()
                self.memory[arguments[0] : arguments[0] + len(arguments[1])] = arguments[1]
                result = None


class Caps:
    """A vault without a kernel. Its services are asked, so they can be dead."""

    def __init__(self, world: World, places: int = 20) -> None:
        self.world = world
        self.places = range(1, places)
        self.offers = dict.fromkeys(SERVICES)

    def check(self, service: str, rights: int) -> None:
        pass

    async def fill(self, place: int, service: str, rights: int) -> None:
        self.world.act(service)
        assert place not in self.world.caps
        self.world.caps[place] = service, rights

    async def show(self, place: int, service: str, rights: int) -> int:
        return place

    async def take_back(self, place: int, service: str) -> None:
        self.world.act(service)
        self.world.caps.pop(place, None)

    async def is_whole(self, place: int) -> bool:
        return place in self.world.caps


class Trail:
    def __init__(self, world: World) -> None:
        self.world = world

    async def record(self, texts: list[str]) -> int:
        self.world.act("audit")
        self.world.trail += texts
        return len(self.world.trail)


class Bell:
    def __init__(self, world: World) -> None:
        self.world = world

    async def alarm(self, after_us: int, period_us: int) -> None:
        self.world.act("timer")


def begin(world: World, rules: str = RULES, places: int = 20, council: Council | None = None) -> Desk:
    """A life of the broker."""
    ledger = Ledger(SharedRegion(0, SIZE))
    world.run(ledger.open(rules))
    vault: Any = Caps(world, places)
    trail: Any = Trail(world)
    bell: Any = Bell(world)
    desk = Desk(ledger, vault, trail, bell, dict(enumerate(SUBJECTS)), council or Council({}))
    world.run(desk.clean_up())
    return desk


class Lives(RuleBasedStateMachine):
    """Any history, with the broker dying anywhere and servers dead for any while."""

    @initialize()
    def start(self) -> None:
        self.world = World()
        self.desk = begin(self.world)

    def do(self, work: Any, steps: int | None) -> Any:
        """Let the broker work, and die after so many steps; whoever comes then goes on."""
        self.world.left = steps
        try:
            return self.world.run(work)
        except Failure:
            return None
        except Crash:
            self.world.left = None
            self.desk = begin(self.world)
            return None
        finally:
            self.world.left = None

    steps = st.none() | st.none() | st.none() | st.integers(0, 12)

    @rule(
        subject=st.sampled_from(SUBJECTS), service=st.sampled_from(SERVICES), us=st.sampled_from([300, 900, 0]),
        rights=st.sampled_from([READ, WRITE, ALL_RIGHTS]), place=st.integers(0, 9), steps=steps,
    )  # fmt: skip
    def asks(self, subject: str, service: str, us: int, rights: int, place: int, steps: int | None) -> None:
        parents = [0, *self.desk.ledger.office.entries]
        parent = parents[place % len(parents)]
        got = self.do(self.desk.request(subject, service, rights, "work", us, parent), steps)
        if got is not None:
            assert isinstance(got, Entry)
            told = [
                text for text in self.world.trail if text.startswith(f"grant {got.number} from {parent}: {subject}")
            ]
            assert told, "what is handed out was recorded before"

    @rule(
        subject=st.sampled_from(SUBJECTS), us=st.sampled_from([100, 600, 0]), place=st.integers(0, 9), steps=steps,
        rights=st.sampled_from([READ, ALL_RIGHTS]),
    )  # fmt: skip
    def offers(self, subject: str, us: int, place: int, steps: int | None, rights: int) -> None:
        entries = list(self.desk.ledger.office.entries)
        if entries:
            self.do(self.desk.offer(entries[place % len(entries)], subject, rights, "look", us), steps)

    @rule(subject=st.sampled_from(SUBJECTS), place=st.integers(0, 9), steps=steps)
    def accepts(self, subject: str, place: int, steps: int | None) -> None:
        offers = list(self.desk.ledger.offers.values())
        offer = offers[place % len(offers)] if offers else None
        got = None if offer is None else self.do(self.desk.accept(subject, offer.question.number), steps)
        if got is not None and offer is not None:
            assert got.question.subject == offer.question.subject == subject
            assert got.until_us == offer.until_us
            assert got.number not in self.desk.ledger.offers

    @rule(steps=steps, place=st.integers(0, 9))
    def ends(self, steps: int | None, place: int) -> None:
        numbers = list(self.desk.ledger.office.entries)
        if numbers:
            self.do(self.desk.end(numbers[place % len(numbers)], "so it was wanted"), steps)

    @rule(steps=steps)
    def approves(self, steps: int | None) -> None:
        self.do(self.desk.approve("bob", "alice", "plans", ALL_RIGHTS), steps)

    @rule(steps=steps, rules=st.sampled_from([RULES, STRICTER]))
    def rules_change(self, steps: int | None, rules: str) -> None:
        self.do(self.desk.change(rules), steps)

    @rule(us=st.integers(1, 500), steps=steps)
    def time_passes(self, us: int, steps: int | None) -> None:
        self.world.now_us += us
        self.do(self.desk.tick(), steps)

    @rule(who=st.sampled_from([*SERVICES, "audit", "timer"]))
    def somebody_dies_or_comes_back(self, who: str) -> None:
        self.world.is_dead ^= {who}
        self.do(self.desk.tick(), None)

    @invariant()
    def every_cap_has_a_grant_or_is_doomed_and_every_grant_its_cap(self) -> None:
        office, places = self.desk.ledger.office, self.desk.ledger.places
        assert set(self.world.caps) <= set(places), "authority was lost track of"
        doomed = {place.number for place in self.desk.ledger.doomed}
        for place, (service, rights) in self.world.caps.items():
            if place in doomed:
                assert service in self.world.is_dead, "what is over was not taken back, and its service answers"
            else:
                asked = office.entries[places[place].grant].question
                assert (asked.service, asked.rights) == (service, rights)
        for number, entry in office.entries.items():
            where = self.desk.ledger.place_of(number)
            assert where is not None
            assert where.number in self.world.caps
            assert not entry.until_us or entry.until_us > self.world.now_us or self.world.left is not None

    @invariant()
    def an_offer_comes_from_a_grant_that_there_is_and_is_none(self) -> None:
        ledger = self.desk.ledger
        for number, offer in ledger.offers.items():
            assert offer.parent in ledger.office.entries
            assert number not in ledger.office.entries

    @invariant()
    def what_was_written_down_is_what_is(self) -> None:
        again = Ledger(SharedRegion(0, SIZE))
        self.world.run(again.open(""))
        assert again.office.written() == self.desk.ledger.office.written()
        assert again.places == self.desk.ledger.places
        assert again.rules == self.desk.ledger.rules

    def teardown(self) -> None:
        """Once everybody answers again, nothing is left to be taken back."""
        if hasattr(self, "world"):
            self.world.is_dead = set()
            self.world.run(self.desk.tick())
            assert not self.desk.ledger.doomed
            assert not self.desk.ledger.unsaid


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


def test_at_every_step_at_which_the_broker_can_die_no_cap_is_without_a_grant() -> None:
    """Not a sample: one life dies at each step of a grant, a delegation, a change of rules and an end."""

    def history(desk: Desk, world: World) -> None:
        first = world.run(desk.request("alice", "news", ALL_RIGHTS, "", 900))
        world.run(desk.offer(first.number, "bob", READ, "", 500))
        world.run(desk.accept("bob", 2))
        world.run(desk.request("alice", "news", WRITE, "", 900))
        world.run(desk.change(STRICTER))
        world.run(desk.end(first.number, ""))

    deaths = 0
    for step in range(1000):
        world = World()
        desk = begin(world)
        world.left = step
        try:
            history(desk, world)
        except Crash:
            deaths += 1
        else:
            break
        world.left = None
        again = begin(world)
        held = {place.number for place in again.ledger.places.values()}
        assert set(world.caps) == held
        assert {place.grant for place in again.ledger.places.values()} == set(again.ledger.office.entries)
    assert deaths > 30


WALL = """
[[policy]]
kind = "chinese wall"
companies = { plans = "red", news = "blue" }
conflicts = { red = "paint", blue = "paint" }
[[policy]]
kind = "quota"
most = { "*" = 2 }
[[policy]]
kind = "rate"
per_second = { "*" = 1000 }
"""
DEEDS = st.lists(
    st.tuples(
        st.sampled_from(["request", "offer", "end", "wait"]), st.sampled_from(SUBJECTS), st.sampled_from(SERVICES),
        st.sampled_from([READ, WRITE]), st.integers(0, 5),
    ), max_size=25,
)  # fmt: skip


def answers_to_bob(deeds: list[tuple[str, str, str, int, int]], *, with_offers: bool) -> list[object]:
    """What bob is answered, if alice offers him things that he never takes, and if she does not."""
    world = World()
    desk = begin(world, WALL)
    answers: list[object] = []
    for deed, subject, service, rights, place in deeds:
        held = [n for n, entry in desk.ledger.office.entries.items() if entry.question.subject == subject]
        world.now_us += 100_000
        if deed == "request":
            answer: object = None
            try:
                answer = world.run(desk.request(subject, service, rights, "", 0)).question.service
            except Failure as failure:
                answer = str(failure)
            answers += [answer] if subject == "bob" else []
        elif deed == "end" and held:
            world.run(desk.end(held[place % len(held)], ""))
        elif deed == "offer" and subject == "alice" and held and with_offers:
            try:
                world.run(desk.offer(held[place % len(held)], "bob", rights, "", 0))
            except Failure:
                continue
    return answers


@settings(max_examples=40, deadline=None)
@given(deeds=DEEDS)
def test_what_one_is_offered_and_does_not_take_changes_nothing_for_him(deeds: Any) -> None:
    assert answers_to_bob(deeds, with_offers=True) == answers_to_bob(deeds, with_offers=False)


def test_what_one_takes_counts() -> None:
    world = World()
    desk = begin(world, WALL)
    first = world.run(desk.request("alice", "plans", READ, "", 0))
    world.run(desk.offer(first.number, "bob", READ, "", 0))
    world.run(desk.offer(first.number, "bob", READ, "", 0))
    assert world.run(desk.accept("bob", 2)).question.subject == "bob"
    with pytest.raises(NotPermitted, match="competes"):
        world.run(desk.request("bob", "news", READ, "", 0))
    with pytest.raises(NotFound):
        world.run(desk.accept("alice", 3))
    world.run(desk.end(first.number, ""))
    assert not desk.ledger.offers
    with pytest.raises(NotFound):
        world.run(desk.accept("bob", 3))


def test_what_a_dead_service_did_not_take_back_is_taken_back_when_it_answers() -> None:
    world = World()
    desk = begin(world)
    entry = world.run(desk.request("alice", "news", READ, "", 900))
    world.is_dead = {"news"}
    assert world.run(desk.end(entry.number, "")) == 1
    assert [place.grant for place in desk.ledger.doomed] == [entry.number]
    desk = begin(world)
    assert world.caps
    world.is_dead = set()
    world.run(desk.tick())
    assert not world.caps
    assert not desk.ledger.places


def test_what_cannot_be_recorded_is_not_handed_out() -> None:
    world = World()
    desk = begin(world)
    world.is_dead = {"audit"}
    with pytest.raises(Failure):
        world.run(desk.request("alice", "news", READ, "", 900))
    assert not world.caps
    world.is_dead = set()
    world.run(desk.tick())
    assert "ended: it was not handed out" in world.trail[-1]


def test_a_ledger_that_was_spoilt_lets_nobody_have_anything() -> None:
    world = World()
    desk = begin(world)
    world.run(desk.request("alice", "news", READ, "", 900))
    for place in (16, SIZE // 2 + 16):
        world.memory[place] ^= 1
    with pytest.raises(LedgerError):
        begin(world)


def test_nobody_uses_up_anothers_places_nor_the_trail() -> None:
    world = World()
    desk = begin(world, "[[policy]]\nkind = 'lease'\nlongest_us = { '*' = 1000000000 }", places=9)
    for _ in range(4):
        entry = world.run(desk.request("alice", "news", READ, "", 10**9))
    with pytest.raises(QuotaExceeded, match="4 grants of 4"):
        world.run(desk.request("alice", "news", READ, "", 10**9))
    with pytest.raises(QuotaExceeded):
        world.run(desk.offer(entry.number, "bob", READ, "", 10**6))
    for _ in range(4):
        world.run(desk.request("bob", "news", READ, "", 10**9))
    recorded = len(world.trail)
    for _ in range(200):
        with pytest.raises((QuotaExceeded, NotPermitted)):
            world.run(desk.request("alice", "news", READ, "", 0))
    assert len(world.trail) - recorded <= 2 * ASKS_PER_SECOND


def test_when_there_is_no_more_room_all_is_as_before() -> None:
    world = World()
    desk = begin(world, places=400)
    rules = RULES + "#" * (SIZE // 2)
    with pytest.raises(Failure, match="no room"):
        world.run(desk.change(rules))
    assert desk.ledger.rules == RULES
    entry = world.run(desk.request("alice", "news", READ, "", 900))
    with pytest.raises(Gone):
        world.run(desk.access(entry.number + 1))


@pytest.mark.parametrize("name", ["a", "a" * 32])
def test_what_is_over_ends_also_when_the_ledger_is_full(name: str) -> None:
    world = World()
    desk = begin(world)
    desk.vault.offers, desk.subjects = {name: None}, frozenset([name])
    entry = world.run(desk.request(name, name, READ, "", 900))
    world.is_dead = {"audit"}
    for size in (300, 1):
        fill(world, desk, size)
    world.now_us += 1000
    world.run(desk.tick())
    assert entry.number not in desk.ledger.office.entries
    assert not world.caps
    world.is_dead = set()
    world.run(desk.tick())
    assert "its time was over" in world.trail[-1]


def fill(world: World, desk: Desk, size: int) -> None:
    """Let records of so many bytes wait until there is no room for one more."""
    try:
        while True:
            desk.ledger.unsaid.append("x" * size)
            world.run(desk.ledger.save())
    except NoSpace:
        pass
