"""Leases, quotas, rates, depth, approvals, tables: what each promises, over any history."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.protocols.brokering import ALL_RIGHTS, READ, WRITE, Question, Verdict
from policies.models.approval import Approval, TwoPersons
from policies.models.domains import DomainAndType, Table
from policies.models.limits import Bucket, Depth, Lease, Quota, Rate, in_words
from policies.models.model import All, Memoryless
from tests.policies.flows import SUBJECTS, Flow, histories, play

SERVICES = ("files", "network")
LIMITS = {"alice": 2, "*": 1}
SECOND = 1_000_000


@given(histories(SERVICES))
def test_nobody_holds_more_than_its_quota(history: list[tuple[str, str, int, bool]]) -> None:
    model, flow = Quota(LIMITS), Flow(SERVICES)
    for step in history:
        play(model, flow, [step])
        held = Counter(question.subject for question in flow.active.values())
        assert all(held[subject] <= LIMITS.get(subject, LIMITS["*"]) for subject in SUBJECTS)


@given(st.lists(st.tuples(st.sampled_from(["alice", "bob"]), st.integers(0, SECOND)), max_size=40))
def test_in_any_second_there_are_no_more_grants_than_a_full_bucket_and_what_flows_in(
    moments: list[tuple[str, int]],
) -> None:
    model, now = Rate({"alice": 3, "*": 1}), 0
    granted: dict[str, list[int]] = {"alice": [], "bob": []}
    for number, (subject, pause) in enumerate(moments):
        now += pause
        question = Question(number, subject, "files", READ, now_us=now)
        if model.judge(question).allowed:
            model.granted(question)
            granted[subject].append(now)
    for subject, rate in (("alice", 3), ("bob", 1)):
        times = granted[subject]
        for first in range(len(times)):
            for last in range(first, len(times)):
                assert last - first + 1 <= rate + (times[last] - times[first]) * rate / SECOND


def test_who_waits_as_long_as_he_is_told_is_granted() -> None:
    model = Rate({"*": 1})
    model.granted(Question(1, "bob", "files", READ, now_us=10))
    said = model.judge(Question(2, "bob", "files", READ, now_us=400_010)).reasons
    assert said == ("bob has had its 1 grants a second; the next is free in 600 ms",)
    assert not model.judge(Question(2, "bob", "files", READ, now_us=1_000_009)).allowed
    assert model.judge(Question(2, "bob", "files", READ, now_us=1_000_010)).allowed
    assert Rate({}).judge(Question(1, "eve", "files", READ)).reasons == ("eve is granted nothing",)
    assert model.history.by_subject["bob"] == Bucket(0, 10)


@given(st.integers(-5, 200))
def test_a_lease_is_never_longer_than_the_longest_nor_for_ever(duration: int) -> None:
    verdict = Lease({"files": 100}).judge(Question(1, "bob", "files", READ, duration_us=duration))
    assert verdict.allowed is (0 < duration <= 100)


@given(st.integers(0, 5))
def test_what_has_gone_through_enough_hands_goes_no_further(depth: int) -> None:
    assert Depth({"files": 2}).judge(Question(1, "bob", "files", READ, depth=depth)).allowed is (depth <= 2)
    assert Depth({}).judge(Question(1, "bob", "files", READ, depth=depth)).allowed is (depth == 0)


approvals = st.builds(
    Approval, st.sampled_from(SUBJECTS), st.sampled_from(SUBJECTS), st.sampled_from(SERVICES),
    st.sampled_from([READ, WRITE, ALL_RIGHTS]), st.integers(0, 200),
)  # fmt: skip
wishes = st.builds(
    Question, st.just(0), st.sampled_from(SUBJECTS), st.sampled_from(SERVICES),
    st.sampled_from([READ, WRITE, ALL_RIGHTS]), now_us=st.integers(0, 200),
)  # fmt: skip


@given(st.lists(st.one_of(approvals, wishes), max_size=30))
def test_nobody_alone_gets_what_needs_two(history: list[Approval | Question]) -> None:
    model = TwoPersons({"files": ["alice", "bob"]}, patience_us=50)
    spent = []
    given_so_far: list[Approval] = []
    for each in history:
        if isinstance(each, Approval):
            if model.approve(each):
                given_so_far.append(each)
            continue
        if not model.judge(each).allowed:
            continue
        model.granted(each)
        if each.service == "files":
            fitting = [
                approval for approval in given_so_far
                if approval.approver != approval.subject == each.subject and approval.approver in ("alice", "bob")
                and not each.rights & ~approval.rights and 0 <= each.now_us - approval.at_us <= 50
            ]  # fmt: skip
            assert fitting
            spent.append(each)
    assert len(spent) <= len(given_so_far), "an approval is good for one grant"


def test_an_approval_is_used_once_and_lapses() -> None:
    model = TwoPersons({"files": ["alice", "bob"]}, patience_us=100)
    wish = Question(1, "alice", "files", READ, now_us=90)
    assert not model.approve(Approval("alice", "alice", "files", READ, 0))
    assert not model.approve(Approval("carol", "alice", "files", READ, 0))
    assert model.judge(wish).reasons == ("files needs the approval of bob",)
    assert model.approve(Approval("bob", "alice", "files", READ, 0))
    assert not model.judge(Question(1, "alice", "files", WRITE, now_us=90)).allowed
    assert not model.judge(Question(1, "alice", "files", READ, now_us=101)).allowed
    assert model.judge(wish).reasons == ("bob approved it",)
    model.granted(wish)
    assert not model.judge(wish).allowed


def test_who_approves_twice_has_approved_once_and_anew() -> None:
    model = TwoPersons({"files": ["bob"]}, patience_us=100)
    for at_us in range(0, 300, 10):
        assert model.approve(Approval("bob", "alice", "files", READ, at_us))
    assert model.history.waiting == [Approval("bob", "alice", "files", READ, 290)]


cells = st.dictionaries(
    st.tuples(st.sampled_from(["user_d", "admin_d"]), st.sampled_from(["data_t", "net_t"])), st.integers(0, 3)
)


@given(cells, wishes)
def test_a_table_gives_just_what_is_in_its_cell(rights: dict[tuple[str, str], int], wish: Question) -> None:
    table = Table({"alice": "admin_d", "bob": "user_d"}, {"files": "data_t", "network": "net_t"}, rights)
    verdict = DomainAndType(table).judge(wish)
    cell = rights.get((table.domains.get(wish.subject, ""), table.types[wish.service]), 0)
    assert verdict.allowed is not bool(wish.rights & ~cell)


class Says(Memoryless):
    def __init__(self, name: str, allowed: bool) -> None:
        self.name = name
        self.verdict = Verdict(allowed, (f"it is {allowed}",))

    def judge(self, question: Question) -> Verdict:
        return self.verdict


@given(st.lists(st.booleans(), max_size=5))
def test_any_may_veto_and_the_vetoes_come_first(said: list[bool]) -> None:
    model = All([Says(str(number), allowed) for number, allowed in enumerate(said)])
    verdict = model.judge(Question(1, "alice", "files", READ))
    assert verdict.allowed is (bool(said) and all(said))
    order = [reason.endswith("True") for reason in verdict.reasons]
    assert order == sorted(order)
    assert len(verdict.reasons) == len(said)


UNITS = {"us": 1, "ms": 1_000, "s": SECOND, "min": 60 * SECOND, "h": 3600 * SECOND}


@given(st.integers(-10, 1 << 63) | st.integers(1, 10_000).map(lambda n: n * 90_000_000))
def test_a_time_in_words_is_exactly_that_time(us: int) -> None:
    number, unit = in_words(us).split()
    assert Fraction(number) * UNITS[unit] == us


@pytest.mark.parametrize(
    ("us", "words"),
    [(0, "0 us"), (999, "999 us"), (1_500, "1.5 ms"), (90 * SECOND, "1.5 min"), (1000 * SECOND, "1000 s"),
     (3600 * SECOND, "1 h"), (3600 * SECOND + 1, "3600000.001 ms"), (10 * SECOND, "10 s"), (1_234_567, "1234.567 ms")],
)  # fmt: skip
def test_a_time_is_told_in_a_unit_that_can_be_read(us: int, words: str) -> None:
    assert in_words(us) == words
