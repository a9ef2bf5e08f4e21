"""The broker's book: the tree of grants, their ends, a change of policy, and going on after a crash at any moment."""

import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from capkernel.protocols.brokering import ALL_RIGHTS, READ, WRITE, Question
from policies.models.approval import Approval
from policies.models.model import All
from policies.office import Office, Written
from policies.rules import read_rules

SUBJECTS = ("alice", "bob", "carol")
SERVICES = ("loans", "deals", "news")
RULES = """
[[policy]]
kind = "chinese wall"
companies = { loans = "bank a", deals = "bank b" }
conflicts = { "bank a" = "banks", "bank b" = "banks" }
[[policy]]
kind = "quota"
most = { "*" = 4 }
[[policy]]
kind = "depth"
most = { "*" = 2 }
[[policy]]
kind = "rate"
per_second = { "*" = 1000 }
"""
STRICTER = RULES.replace('"*" = 4', '"*" = 1').replace('"*" = 2', '"*" = 0')


def policy(rules: str = RULES) -> All:
    return read_rules(rules)


class Books(RuleBasedStateMachine):
    """Any history of grants, delegations, ends and crashes; the model is the set of grants, each with its parent."""

    @initialize()
    def begin(self) -> None:
        self.rules = RULES
        self.office = Office(policy())
        self.now = 0
        self.parents: dict[int, int] = {}
        self.numbers: set[int] = set()

    @rule(
        subject=st.sampled_from(SUBJECTS), service=st.sampled_from(SERVICES), duration=st.sampled_from([0, 500, 2000]),
        rights=st.sampled_from([READ, WRITE, ALL_RIGHTS]), place=st.integers(0, 20),
    )  # fmt: skip
    def asks(self, subject: str, service: str, duration: int, rights: int, place: int) -> None:
        choices = [0, *self.office.entries]
        parent = choices[place % len(choices)]
        question = self.office.question(subject, service, rights, "work", duration, self.now, parent)
        if not self.office.judge(question, parent).allowed:
            return
        entry = self.office.enter(question, parent)
        assert entry.number not in self.numbers, "numbers are never used twice"
        self.numbers.add(entry.number)
        self.parents[entry.number] = parent
        if parent:
            above = self.office.entries[parent]
            assert not entry.question.rights & ~above.question.rights
            assert not above.until_us or 0 < entry.until_us <= above.until_us

    @rule(place=st.integers(0, 20))
    @precondition(lambda self: self.office.entries)
    def ends(self, place: int) -> None:
        number = [*self.office.entries][place % len(self.office.entries)]
        self.gone(self.office.end(number))
        assert number not in self.parents

    @rule(pause=st.integers(1, 1500))
    def time_passes(self, pause: int) -> None:
        self.now += pause
        for number in self.office.due(self.now):
            if number in self.office.entries:
                self.gone(self.office.end(number))
        assert not any(0 < entry.until_us <= self.now for entry in self.office.entries.values())

    @rule(rules=st.sampled_from([RULES, STRICTER]))
    def the_policy_changes(self, rules: str) -> None:
        self.rules = rules
        self.gone(self.office.change(policy(rules)))

    @rule()
    def it_crashes(self) -> None:
        written = self.office.written()
        again = Office(policy(self.rules))
        again.read(written)
        assert again.written() == written
        self.office = again

    def gone(self, ended: list) -> None:
        for entry in ended:
            assert not [child for child, parent in self.parents.items() if parent == entry.number], "children go first"
            del self.parents[entry.number]

    @invariant()
    def the_book_is_what_was_granted_and_did_not_end(self) -> None:
        assert {n: e.parent.number if e.parent else 0 for n, e in self.office.entries.items()} == self.parents
        quota = 4 if self.rules == RULES else 1
        for subject in SUBJECTS:
            assert sum(entry.question.subject == subject for entry in self.office.entries.values()) <= quota
        assert all(entry.question.depth <= (2 if self.rules == RULES else 0) for entry in self.office.entries.values())


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_a_stricter_policy_ends_what_it_refuses_the_oldest_stay() -> None:
    office = Office(policy())
    for service in ("loans", "news"):
        office.enter(office.question("alice", service, READ, "", 0, 0))
    office.enter(office.question("bob", "loans", READ, "", 0, 0, parent=1), 1)
    assert [entry.number for entry in office.change(policy(STRICTER))] == [2, 3]
    assert list(office.entries) == [1]


def test_a_change_of_rules_makes_nobody_forget() -> None:
    office = Office(policy())
    office.end(office.enter(office.question("alice", "loans", READ, "", 0, 0)).number)
    assert not office.judge(office.question("alice", "deals", READ, "", 0, 0)).allowed
    assert office.change(policy(STRICTER)) == []
    assert not office.judge(office.question("alice", "deals", READ, "", 0, 0)).allowed


def test_what_was_approved_stays_approved_while_the_approver_s_word_counts() -> None:
    def rules(who: str, lease: int = 100) -> All:
        return read_rules(
            f"[[policy]]\nkind = 'two persons'\napprovers = {{ loans = ['{who}'] }}\n"
            f"[[policy]]\nkind = 'lease'\nlongest_us = {{ '*' = {lease} }}"
        )

    office = Office(rules("bob"))
    office.policy.models[0].approve(Approval("bob", "alice", "loans", READ, 0))
    office.enter(office.question("alice", "loans", READ, "", 50, 0))
    assert office.change(rules("bob", 60)) == []
    assert [entry.number for entry in office.change(rules("carol", 60))] == [1]


def test_a_book_that_cannot_be_is_refused_and_nothing_is_changed() -> None:
    office = Office(policy())
    office.enter(office.question("alice", "loans", READ, "", 0, 0))
    good = office.written()
    for bad in (
        evolve(good, grants=[evolve(good.grants[0], parent=7)]), evolve(good, grants=[*good.grants, *good.grants]),
        evolve(good, next_number=1), evolve(good, histories=good.histories[1:]),
        evolve(good, histories=[b"{", *good.histories[1:]]), evolve(good, histories=[b"[]", b"[]", b"null", b"7"]),
    ):  # fmt: skip
        again = Office(policy())
        with pytest.raises(ValueError, match=r".+"):
            again.read(bad)
        assert again.written() == Office(policy()).written()
    assert isinstance(good, Written)


def test_a_delegation_outlives_nothing() -> None:
    office = Office(policy())
    office.enter(office.question("alice", "loans", READ, "", 1000, 0))
    longer = office.question("bob", "loans", READ, "", 1001, 0, parent=1)
    assert office.judge(longer, 1).reasons == ("broker: grant 1 ends at 1000 us",)
    assert not office.judge(evolve(longer, duration_us=0), 1).allowed
    assert not office.judge(evolve(longer, duration_us=10, rights=ALL_RIGHTS), 1).allowed
    assert not office.judge(Question(2, "bob", "deals", READ, duration_us=10), 1).allowed
    assert office.judge(evolve(longer, duration_us=1000), 1).allowed
