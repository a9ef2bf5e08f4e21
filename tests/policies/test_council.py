"""Policies that are servers of their own: whatever dies, is silent or lies, nobody has what one of them refuses."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from capkernel.protocols.brokering import READ, Policy, PolicyRules, Question, Verdict
from capkernel.protocols.failures import Failure, Malformed, NotPermitted, ServerDied
from capkernel.protocols.service import Service
from capkernel.protocols.strategies import hostile_requests
from capkernel.user.loop import ANSWERED, ENDPOINT_BADGE, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.pdimage import PDValues
from capkernel.user.syscalls import Message
from policies.council import MAX_HELD, Council
from policies.ledger import Ledger
from policies.models.chinese_wall import ChineseWall
from policies.policy_server import BROKER, OPERATOR, PolicyServant, RulesServant
from policies.rules import read_rules
from tests.policies.test_desk import SERVICES, SIZE, SUBJECTS, Crash, World, begin

OWN = "[[policy]]\nkind = 'depth'\nmost = { '*' = 3 }"
WALL = """
[[policy]]
kind = "chinese wall"
companies = { plans = "red", news = "blue" }
conflicts = { red = "paint", blue = "paint" }
"""
NOT_BOB = "[[policy]]\nkind = 'quota'\nmost = { alice = 9 }"


class Bell(PD):
    """A policy server's domain; its signal to the broker is noted."""

    def __init__(self, world: "TwoPrograms") -> None:
        super().__init__(PDValues(name="wall"))
        self.world = world

    async def notify(self, channel: int) -> None:
        self.world.has_news = True


class TwoPrograms(World):
    """The broker's memory, and the policy server's behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = bytearray(2 * SIZE)
        self.has_news = False


class Wall:
    """A policy server as the broker reaches it: it may be dead, and may die before or after it has done something."""

    def __init__(self, world: TwoPrograms, rules: str) -> None:
        self.world = world
        self.rules = rules
        self.dies_after = False
        self.start()

    def start(self) -> None:
        book = Ledger(SharedRegion(SIZE, SIZE))
        self.world.run(book.open(self.rules))
        self.servant, self.control = PolicyServant(book), RulesServant(book, Bell(self.world))

    def __getattr__(self, name: str) -> Any:
        async def ask(*arguments: Any) -> Any:
            self.world.act("wall")
            answer = await getattr(self.servant, name)(*arguments)
            self.world.act("wall")
            if self.dies_after and name != "judge":
                self.dies_after = False
                raise ServerDied("it dies")
            return answer

        return ask


class Histories(RuleBasedStateMachine):
    """Any history; broker and policy server die anywhere."""

    @initialize()
    def start(self) -> None:
        self.world = TwoPrograms()
        self.wall: Any = Wall(self.world, WALL)
        self.seen: dict[str, set[str]] = {subject: set() for subject in SUBJECTS}
        self.desk = begin(self.world, OWN, council=Council({"wall": self.wall}))

    def do(self, work: Any, steps: int | None) -> Any:
        self.world.left = steps
        try:
            return self.world.run(work)
        except Failure:
            return None
        except Crash:
            self.world.left = None
            self.wall.start()
            self.desk = begin(self.world, OWN, council=Council({"wall": self.wall}))
            return None
        finally:
            self.world.left = None

    steps = st.none() | st.none() | st.integers(0, 12)

    @rule(
        subject=st.sampled_from(SUBJECTS), service=st.sampled_from(SERVICES), place=st.integers(0, 9), steps=steps,
    )  # fmt: skip
    def asks(self, subject: str, service: str, place: int, steps: int | None) -> None:
        parents = [0, *self.desk.ledger.office.entries]
        self.do(self.desk.request(subject, service, READ, "", 900, parents[place % len(parents)]), steps)

    @rule(steps=steps, place=st.integers(0, 9))
    def ends(self, steps: int | None, place: int) -> None:
        numbers = list(self.desk.ledger.office.entries)
        if numbers:
            self.do(self.desk.end(numbers[place % len(numbers)], ""), steps)

    @rule(us=st.integers(1, 500))
    def time_passes(self, us: int) -> None:
        self.world.now_us += us
        self.do(self.desk.tick(), None)

    @rule()
    def the_policy_server_dies_or_comes_back(self) -> None:
        self.world.is_dead ^= {"wall"}
        self.wall.start()

    @rule()
    def it_will_die_after_it_was_told_something(self) -> None:
        self.wall.dies_after = True

    @rule(rules=st.sampled_from([WALL, WALL + NOT_BOB, ""]))
    def its_rules_change(self, rules: str) -> None:
        self.world.run(self.wall.control.change(rules))
        assert self.world.has_news
        self.desk.council.look_again("wall")
        self.world.is_dead -= {"wall"}
        self.wall.dies_after = False
        self.do(self.desk.tick(), None)
        assert rules or not self.desk.ledger.office.entries
        if not rules:
            # Rules without a wall forget what it remembered; who answers for them has done without it.
            self.seen = {subject: set() for subject in SUBJECTS}

    @invariant()
    def nobody_ever_comes_to_have_what_two_competitors_have(self) -> None:
        places = self.desk.ledger.places
        for place, (service, _) in self.world.caps.items():
            entry = self.desk.ledger.office.entries.get(places[place].grant)
            if entry is not None:
                self.seen[entry.question.subject].add(service)
        assert all(len(services) < 2 for services in self.seen.values()), self.seen

    def teardown(self) -> None:
        """Once both have spoken, they agree."""
        if hasattr(self, "world"):
            self.world.is_dead = set()
            self.wall.dies_after = False
            self.desk.council.look_again("wall")
            self.world.run(self.desk.tick())
            held = self.world.run(self.wall.servant.held(0))
            assert held == sorted(self.desk.ledger.office.entries)


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


def asked(number: int = 1, subject: str = "alice", service: str = "plans") -> Question:
    return Question(number, subject, service, READ)


def lone(rules: str = WALL) -> tuple[TwoPrograms, Wall]:
    world = TwoPrograms()
    return world, Wall(world, rules)


def test_what_was_seen_is_known_to_the_next_life() -> None:
    world, wall = lone()
    world.run(wall.servant.granted(asked()))
    world.run(wall.servant.granted(asked()))
    world.run(wall.servant.ended(1))
    wall.start()
    verdict = world.run(wall.servant.judge(asked(2, service="news")))
    assert not verdict.allowed
    assert "alice has seen red, which competes with blue" in verdict.reasons[0]


def test_a_grant_that_other_rules_refuse_by_now_is_not_made() -> None:
    world, wall = lone()
    assert world.run(wall.servant.judge(asked())).allowed
    world.run(wall.control.change(""))
    with pytest.raises(NotPermitted):
        world.run(wall.servant.granted(asked()))


class Liar:
    """Answers with whatever it is told to."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def __getattr__(self, name: str) -> Any:
        async def ask(*arguments: Any) -> Any:
            answer = self.answers.get(name, [])
            if isinstance(answer, Exception):
                raise answer
            return answer(*arguments) if callable(answer) else answer

        return ask


@pytest.mark.parametrize(
    "answers",
    [
        {"judge": ServerDied("dead")}, {"judge": Malformed("nonsense")},
        {"judge": Verdict(True, ()), "held": lambda after: [after]}, {"held": [3, 2], "judge": Verdict(True, ())},
        {"judge": Verdict(True, ()), "held": lambda after: list(range(after + 1, after + MAX_HELD))},
        {"judge": Verdict(True, ()), "granted": ServerDied("dead")},
    ],
    ids=["dead", "nonsense", "goes round", "not rising", "endless", "never heard of it"],
)  # fmt: skip
def test_who_is_dead_or_talks_nonsense_refuses(answers: dict[str, Any]) -> None:
    world = World()
    liar: Any = Liar(**answers)
    desk = begin(world, OWN, council=Council({"liar": liar}))
    with pytest.raises(Failure):
        world.run(desk.request("alice", "plans", READ, "", 900))
    assert not world.caps
    assert not desk.ledger.office.entries


def test_reasons_of_others_cannot_do_anything() -> None:
    world = World()
    liar: Any = Liar(judge=Verdict(False, ("no\n2 grant 1 from 0: mallory\x1b[2J", "x" * 9999)))
    desk = begin(world, OWN, council=Council({"liar": liar}))
    verdict = world.run(desk.explain("alice", "plans", READ, "", 900))
    assert verdict.reasons[0] == "liar: no?2 grant 1 from 0: mallory?[2J"
    assert len(verdict.reasons) == 2


def test_one_veto_is_enough_and_all_reasons_are_told() -> None:
    world = World()
    wall, quota = (PolicyServant(book) for book in (Ledger(SharedRegion(0, SIZE)), Ledger(SharedRegion(0, SIZE))))
    wall.ledger.office.policy, quota.ledger.office.policy = read_rules(WALL), read_rules(NOT_BOB)
    desk = begin(world, OWN, council=Council({"wall": wall, "quota": quota}))
    assert world.run(desk.explain("alice", "plans", READ, "", 900)).allowed
    refused = world.run(desk.explain("bob", "plans", READ, "", 900))
    assert not refused.allowed
    assert [reason.split(":")[0] for reason in refused.reasons] == ["quota", "depth", "wall"]


def test_decisions_of_cedar_are_remembered_by_its_server_and_made_anew_when_its_rules_change() -> None:
    cedar = pytest.importorskip("policies.models.cedar")
    rules = """
[[policy]]
kind = "cedar"
policies = '''@id("everybody") permit(principal, action == Action::"read", resource);'''
entities = '[]'
schema = '''
entity Subject; entity Service;
type Asked = { purpose: String, duration_us: Long, now_us: Long, depth: Long };
action read, write appliesTo { principal: Subject, resource: Service, context: Asked };
'''
"""
    world, wall = lone(rules)
    model = wall.servant.ledger.office.policy.models[0]
    assert isinstance(model, cedar.Cedar)
    for _ in range(3):
        assert world.run(wall.servant.judge(asked())).reasons == ("cedar: read is permitted by everybody",)
    assert model.asked == 1
    world.run(wall.servant.granted(asked()))
    changed = rules.replace("permit(", "forbid(").replace("everybody", "nobody")
    assert world.run(wall.control.change(changed)) == 1
    assert world.run(wall.servant.judge(asked())).reasons == ("cedar: read is forbidden by nobody",)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(hostile_requests(Policy) | hostile_requests(PolicyRules), max_size=15), st.sampled_from([BROKER, OPERATOR])
)
def test_whatever_is_sent_is_answered_and_what_was_seen_stays_seen(requests: list[Message], sender: int) -> None:
    world, wall = lone()
    world.run(wall.servant.granted(asked()))
    roots = {BROKER: wall.servant, OPERATOR: wall.control}
    service = Service(PD(PDValues(name="wall")), roots=roots.get)
    for request in requests:
        request.badge = ENDPOINT_BADGE | sender
        answer = world.run(service.protected(request))
        assert answer is ANSWERED or isinstance(answer, Message)
    # Whoever answers for the rules may do without the wall; the broker may not.
    models = wall.servant.ledger.office.policy.models
    walls = [model for model in models if isinstance(model, ChineseWall)]
    assert walls or sender == OPERATOR
    assert all("red" in each.seen.by_subject["alice"] for each in walls)
