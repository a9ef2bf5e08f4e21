"""Cedar's decisions and reasons, held to a schema, remembered; beside Cedar asked directly."""

import json

import pytest
from cedarpy import Decision, is_authorized
from hypothesis import given
from hypothesis import strategies as st

from capkernel.protocols.brokering import ALL_RIGHTS, READ, RIGHT_NAMES, WRITE, Question
from policies.models.cedar import CACHED, Cedar, CedarError, Rules

SCHEMA = """
entity Role;
entity Subject in [Role] { trust: Long };
entity Service { owner: String };
type Why = { purpose: String, duration_us: Long, now_us: Long, depth: Long };
action "read", "write" appliesTo { principal: Subject, resource: Service, context: Why };
"""
POLICIES = """
@id("staff-read")
permit(principal in Role::"staff", action == Action::"read", resource);
@id("backup-writes")
permit(principal, action == Action::"write", resource == Service::"archive")
when { context.purpose == "backup" && principal.trust >= 2 };
@id("no-strangers-hands")
forbid(principal, action, resource) when { context.depth > 1 };
"""
ENTITIES = json.dumps(
    [
        {"uid": {"type": "Role", "id": "staff"}, "attrs": {}, "parents": []},
        *(
            {
                "uid": {"type": "Subject", "id": name}, "attrs": {"trust": trust},
                "parents": [{"type": "Role", "id": "staff"}] * (name != "eve"),
            }
            for name, trust in (("alice", 3), ("bob", 1), ("eve", 3))
        ),
        *(
            {"uid": {"type": "Service", "id": name}, "attrs": {"owner": "alice"}, "parents": []}
            for name in ("archive", "desk")
        ),
    ]
)  # fmt: skip
RULES = Rules(POLICIES, ENTITIES, SCHEMA)
questions = st.builds(
    Question, st.integers(0, 9), st.sampled_from(["alice", "bob", "eve", "nobody"]),
    st.sampled_from(["archive", "desk", "attic"]), st.sampled_from([READ, WRITE, ALL_RIGHTS]),
    st.sampled_from(["", "backup"]), st.integers(0, 3), st.integers(0, 3), st.integers(0, 2),
)  # fmt: skip


def test_reasons_are_the_rules_that_decided() -> None:
    model = Cedar(RULES)
    backup = Question(1, "alice", "archive", ALL_RIGHTS, "backup")
    assert model.judge(backup).reasons == ("read is permitted by staff-read", "write is permitted by backup-writes")
    assert not model.judge(Question(1, "bob", "archive", WRITE, "backup")).allowed
    assert model.judge(Question(1, "eve", "desk", READ)).reasons == ("read is permitted by no rule",)
    handed = model.judge(Question(1, "alice", "desk", READ, depth=2))
    assert (handed.allowed, handed.reasons) == (False, ("read is forbidden by no-strangers-hands",))


@given(questions)
def test_it_says_what_cedar_says_for_each_right(question: Question) -> None:
    answers = [
        is_authorized(
            {
                "principal": f'Subject::"{question.subject}"', "action": f'Action::"{name}"',
                "resource": f'Service::"{question.service}"',
                "context": {
                    "purpose": question.purpose, "duration_us": question.duration_us, "now_us": question.now_us,
                    "depth": question.depth,
                },
            },
            POLICIES, ENTITIES, SCHEMA,
        ).decision is Decision.Allow
        for right, name in RIGHT_NAMES.items() if question.rights & right
    ]  # fmt: skip
    assert _MODEL.judge(question).allowed is all(answers)
    assert _MODEL.judge(question) == Cedar(RULES).judge(question)


_MODEL = Cedar(RULES)


def test_a_decision_is_remembered_until_something_differs_that_rules_can_see() -> None:
    model = Cedar(RULES)
    for number in range(5):
        model.judge(Question(number, "alice", "desk", READ, now_us=number))
    assert model.asked == 1
    model.judge(Question(6, "alice", "desk", READ, "backup"))
    assert model.asked == 2
    curfew = '@id("curfew") forbid(principal, action, resource) when { context.now_us > 10 };'
    timed = Cedar(Rules(POLICIES + curfew, ENTITIES, SCHEMA))
    assert [timed.judge(Question(1, "alice", "desk", READ, now_us=now)).allowed for now in (10, 11)] == [True, False]
    assert timed.asked == 2


def test_what_is_remembered_is_bounded() -> None:
    model = Cedar(RULES)
    for depth in range(CACHED + 10):
        model.judge(Question(1, "alice", "desk", READ, duration_us=depth))
    model.judge(Question(1, "alice", "desk", READ, duration_us=0))
    assert model.asked == CACHED + 11


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (Rules("permit(principal, action", ENTITIES, SCHEMA), "the policies"),
        (Rules(POLICIES.replace("principal.trust", "principal.thrust"), ENTITIES, SCHEMA), "thrust"),
        (Rules(POLICIES.replace("trust >= 2", 'trust >= "two"'), ENTITIES, SCHEMA), "the policies do not fit"),
        (Rules(POLICIES, ENTITIES.replace('"trust"', '"truth"'), SCHEMA), "the entities"),
        (Rules(POLICIES, ENTITIES, "entity Subject"), "the schema"),
        (Rules(POLICIES, "nothing", SCHEMA), "the entities"),
        (Rules("", "[]", SCHEMA.replace("now_us: Long, ", "")), "cannot be asked for read; .*now_us"),
        (Rules("", "[]", SCHEMA.replace('"read", "write"', '"read"')), "cannot be asked for write"),
        (Rules("", "[]", SCHEMA.replace("Subject", "User")), "cannot be asked for read"),
    ],
)  # fmt: skip
def test_rules_that_do_not_fit_the_schema_are_refused_at_once(rules: Rules, said: str) -> None:
    with pytest.raises(CedarError, match=said):
        Cedar(rules)


def test_wanting_nothing_or_what_nobody_knows_is_refused() -> None:
    assert not Cedar(RULES).judge(Question(1, "alice", "desk", 0)).allowed
    assert not Cedar(RULES).judge(Question(1, "alice", "desk", READ | 8)).allowed
