"""Policies as they are written: every kind can be said, and whatever is wrong is named with its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.protocols.brokering import ALL_RIGHTS, READ, WRITE, Question
from policies.models.approval import Approval
from policies.rules import RulesError, read_rules
from tests.policies.test_cedar import ENTITIES, POLICIES, SCHEMA

SECRECY = """
[[policy]]
kind = "secrecy"
levels = ["public", "secret"]
subjects = { alice = "secret/crypto", bob = "public" }
services = { plans = "secret", bulletin = "public" }
"""
EVERY_KIND = f"""{SECRECY}
[[policy]]
kind = "integrity"
levels = ["low", "high"]
subjects = {{ alice = "high", bob = "high" }}
services = {{ plans = "high", bulletin = "high" }}

[[policy]]
kind = "chinese wall"
companies = {{ plans = "oil a" }}
conflicts = {{ "oil a" = "oil" }}

[[policy]]
kind = "domain and type"
domains = {{ alice = "staff", bob = "staff" }}
types = {{ plans = "document", bulletin = "document" }}
rights.staff.document = ["read", "write"]

[[policy]]
kind = "lease"
longest_us = {{ "*" = 1_000 }}

[[policy]]
kind = "depth"
most = {{ "*" = 1 }}

[[policy]]
kind = "quota"
most = {{ alice = 2 }}

[[policy]]
kind = "rate"
per_second = {{ "*" = 10 }}

[[policy]]
kind = "two persons"
approvers = {{ plans = ["alice", "bob"] }}

[[policy]]
kind = "cedar"
policies = '''permit(principal in Role::"staff", action, resource);'''
entities = '''{ENTITIES}'''
schema = '''{SCHEMA}'''
"""


def in_cedar(policies: str, entities: str) -> str:
    said = {"policies": policies, "entities": entities, "schema": SCHEMA}
    return "[[policy]]\nkind = 'cedar'\n" + "".join(f"{key} = '''{value}'''\n" for key, value in said.items())


def is_rules_or_a_clear_error(text: str) -> bool:
    try:
        read_rules(text)
    except RulesError as error:
        return bool(str(error))
    return True


def test_every_kind_of_policy_can_be_written() -> None:
    model = read_rules(EVERY_KIND)
    names = [each.name for each in model.models]
    assert len(names) == len(set(names)) == 10
    wish = Question(1, "alice", "plans", READ, duration_us=500, now_us=5)
    verdict = model.judge(wish)
    assert not verdict.allowed
    assert verdict.reasons[0] == "two persons: plans needs the approval of bob"
    assert len(verdict.reasons) == 10
    model.models[8].approve(Approval("bob", "alice", "plans", READ, 0))
    assert model.judge(wish).allowed
    assert not model.judge(Question(1, "bob", "plans", READ, duration_us=500)).allowed


def test_a_file_without_policies_allows_nothing() -> None:
    assert not read_rules("").judge(Question(1, "alice", "plans", READ)).allowed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[policy", "no TOML"), ("[policy]", "one [policy]"), ("x = 1", "there is x"),
        ("[[policy]]", "policy 1 is of kind None; the kinds are secrecy, integrity"),
        (SECRECY + '[[policy]]\nkind = "wall"', "policy 2 is of kind 'wall'"),
        (SECRECY.replace("levels", "level"), "levels is missing"),
        (SECRECY.replace("levels", "level"), "level is not known"),
        (SECRECY.replace('"secret/crypto"', "3"), "subjects.alice: 3 is no text"),
        (SECRECY.replace('"secret/crypto"', '"hidden"'), "alice = 'hidden' is no label: one is public or secret"),
        (SECRECY.replace('"secret/crypto"', '"secret/"'), "is no label"),
        ('[[policy]]\nkind = "lease"\nlongest_us = { files = "long" }', "longest_us.files: 'long' is no number"),
        ('[[policy]]\nkind = "lease"\nlongest_us = { files = true }', "True is no number"),
        ('[[policy]]\nkind = "domain and type"\ndomains={}\ntypes={}\nrights.a.b = ["rad"]', "rights.a.b: 'rad' is no"),
        (in_cedar("x", "[]"), "policy 1, cedar: the policies"),
        (SECRECY + SECRECY, "policy 2, secrecy: policy 1 is of that kind; write one"),
        ("[[policy]]\nkind = 'chinese wall'\ncompanies = { plans = 'oil a' }\nconflicts = { 'oil aa' = 'oil' }",
         "policy 1, chinese wall: conflicts.oil aa: no service is of that company; they are oil a"),
        ("[[policy]]\nkind = 'lease'\nlongest_us = { '*' = -5 }", "policy 1, lease: * = -5 is below 0"),
        ("[[policy]]\nkind = 'two persons'\napprovers = { vault = ['alice'] }\npatience_us = -5",
         "policy 1, two persons: patience_us: -5 is below 0"),
        (SECRECY.replace('levels = ["public"', 'levels = ["public", "public"'),
         "policy 1, secrecy: levels: 'public' is there twice"),
        ("a = " + "[" * 5000, "nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(text: str, said: str) -> None:
    with pytest.raises(RulesError) as wrong:
        read_rules(text)
    assert said in str(wrong.value)


@given(st.text(max_size=60))
def test_any_text_is_rules_or_a_clear_error(text: str) -> None:
    assert is_rules_or_a_clear_error(text)


@given(st.integers(0, len(EVERY_KIND) - 1), st.integers(1, 12))
def test_rules_with_a_gap_are_rules_or_a_clear_error(start: int, length: int) -> None:
    assert is_rules_or_a_clear_error(EVERY_KIND[:start] + EVERY_KIND[start + length :])


def test_the_policies_of_cedar_s_tests_can_be_written_too() -> None:
    text = in_cedar(POLICIES, ENTITIES)
    assert read_rules(text).judge(Question(1, "alice", "archive", ALL_RIGHTS, "backup")).allowed
    assert not read_rules(text).judge(Question(1, "bob", "archive", WRITE, "backup")).allowed
