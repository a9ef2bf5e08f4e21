"""The theorems of Bell-LaPadula and of Biba, over any history; and what breaks them."""

from hypothesis import given
from hypothesis import strategies as st

from capkernel.protocols.brokering import ALL_RIGHTS, READ, WRITE, Question, Verdict
from policies.models.lattice import BellLaPadula, Biba, Label, Labels
from policies.models.model import All
from tests.policies.flows import SUBJECTS, Flow, histories, play

LEVELS = ("public", "secret", "top secret")
SERVICES = ("bulletin", "files", "plans", "archive")
labels = st.builds(Label, st.integers(0, 2), st.sets(st.sampled_from(["crypto", "nuclear"])))
labellings = st.builds(
    Labels, st.just(LEVELS), st.fixed_dictionaries(dict.fromkeys(SUBJECTS, labels)),
    st.fixed_dictionaries(dict.fromkeys(SERVICES, labels)),
)  # fmt: skip


@given(labellings, histories(SERVICES))
def test_secrets_are_held_only_by_those_who_are_cleared_for_them(
    labelling: Labels, history: list[tuple[str, str, int, bool]]
) -> None:
    flow = Flow(SERVICES)
    play(BellLaPadula(labelling), flow, history)
    for holder, data in flow.holds.items():
        clearance = labelling.subjects.get(holder) or labelling.services[holder]
        assert all(clearance.dominates(labelling.services[source]) for source in data)


@given(labellings, histories(SERVICES))
def test_nothing_is_spoilt_by_what_is_less_trusted(
    labelling: Labels, history: list[tuple[str, str, int, bool]]
) -> None:
    flow = Flow(SERVICES)
    play(Biba(labelling), flow, history)
    for holder, data in flow.holds.items():
        trust = labelling.subjects.get(holder) or labelling.services[holder]
        assert all(labelling.services[source].dominates(trust) for source in data)


@given(labellings, histories(SERVICES))
def test_both_together_let_data_go_only_where_the_label_is_the_same(
    labelling: Labels, history: list[tuple[str, str, int, bool]]
) -> None:
    flow = Flow(SERVICES)
    play(All([BellLaPadula(labelling), Biba(labelling)]), flow, history)
    for holder, data in flow.holds.items():
        label = labelling.subjects.get(holder) or labelling.services[holder]
        assert all(labelling.services[source] == label for source in data)


@given(labels, labels, labels)
def test_labels_are_a_lattice_s_order(one: Label, other: Label, third: Label) -> None:
    assert one.dominates(one)
    assert not (one.dominates(other) and other.dominates(one)) or one == other
    assert not (one.dominates(other) and other.dominates(third)) or one.dominates(third)


def test_without_the_star_property_a_secret_reaches_the_public() -> None:
    class SimpleSecurityOnly(BellLaPadula):
        def judge(self, question: Question) -> Verdict:
            return super().judge(Question(question.number, question.subject, question.service, question.rights & READ))

    labelling = Labels(
        LEVELS, {"alice": Label(2), "bob": Label(0), "carol": Label(0)}, {"bulletin": Label(0), "plans": Label(2)}
    )
    history = [("alice", "plans", READ, False), ("alice", "bulletin", WRITE, False), ("bob", "bulletin", READ, False)]
    for model, reaches in ((SimpleSecurityOnly(labelling), True), (BellLaPadula(labelling), False)):
        flow = Flow(["bulletin", "plans"])
        play(model, flow, history)
        assert ("plans" in flow.holds["bob"]) is reaches


def test_a_refusal_names_the_rule_and_both_labels() -> None:
    labelling = Labels(LEVELS, {"bob": Label(0)}, {"plans": Label(2, {"nuclear"})})
    verdict = BellLaPadula(labelling).judge(Question(1, "bob", "plans", ALL_RIGHTS))
    assert verdict.reasons == ("no read up: bob is public, plans is top secret/nuclear",)
    assert BellLaPadula(labelling).judge(Question(1, "eve", "plans", READ)).reasons == ("eve has no label",)
    assert BellLaPadula(labelling).judge(Question(1, "bob", "desk", READ)).reasons == ("desk has no label",)
