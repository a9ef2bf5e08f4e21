"""A machine that is known and says what it likes: questions and answers that no gateway would send."""

from typing import Any

import pytest

pytest.importorskip("biscuit_auth", reason="NOT RUN: there is no biscuit-python (pip install 'capkernel[remote]')")

from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.failures import Failure
from capkernel.protocols.remote import Terms
from capkernel.user.codec import Word
from policies.remote.gateway import Gateway
from policies.remote.messages import Answered, Asked, Verb
from policies.remote.sessions import Machine
from tests.remote.machines import START, Counter, Net

words = st.lists(st.integers(0, (1 << 64) - 1).map(Word), max_size=8)
labels = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 0x200),
    st.integers(0, 255).map(lambda number: Counter.number << 8 | number),
)  # fmt: skip
pieces = st.one_of(st.binary(max_size=40), st.just(b"token of a"), st.just(b"token of c"), st.just(b"grant"))


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(Verb), pieces, labels, words, st.lists(pieces, max_size=3), st.text(max_size=8)))
)
def test_no_question_of_a_known_machine_stops_a_gateway_or_gets_more_than_its_token(asked: list[Any]) -> None:
    net = Net("a", "c", operations=["Counter.look", "Counter.child", "Counter.same"])
    net.lookup("a", "c")
    reference = next(iter(net["a"].gateway.references.values()))
    real = {
        b"token of a": net["a"].gateway.issue(net["a"].root, Counter, "c", Terms(None, START + 100)),
        b"token of c": reference.token.data, b"grant": reference.grant,
    }  # fmt: skip
    machine = net.machine("c")
    for verb, grant, label, data, tokens, text in asked:
        question = Asked(verb, real.get(grant, grant), label, data, [real.get(each, each) for each in tokens], text)
        try:
            net.ask("a", net["a"].gateway._question(net["a"].world.machines[machine.name], question))
        except Failure:
            continue
    assert not net["c"].root.marks
    assert net.lookup("a", "c") is not None


@settings(max_examples=15, deadline=None)
@given(st.lists(st.binary(max_size=64), max_size=10))
def test_bytes_that_are_no_question_are_answered_with_a_failure(bodies: list[bytes]) -> None:
    net = Net("a", "c")
    root = net.lookup("a", "c")
    for body in bodies:
        net.ask("a", net["a"].gateway.asking["c"].ask(body))
    assert net.ask("a", root.add(1)) == 1


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(labels, words, st.lists(pieces, max_size=2)), min_size=1, max_size=8))
def test_whatever_a_machine_answers_the_caller_gets_a_result_or_a_failure(answers: list[Any]) -> None:
    class Liar(Gateway):
        """Answers as it likes."""

        async def _serve(self, machine: Machine, asked: Asked) -> Answered:
            if not said:
                return await super()._serve(machine, asked)
            label, data, tokens = said.pop(0)
            return Answered(label, data, tokens)

    said: list[Any] = []
    net = Net("a", "c", gateways={"c": Liar})
    root = net.lookup("a", "c")
    for answer in answers:
        for ask in (root.look, root.child, lambda: net["a"].gateway.lookup("c", "root")):
            said.append(answer)
            try:
                net.ask("a", ask())
            except Failure:
                continue
            finally:
                said.clear()
    assert net.ask("a", root.add(1)) == 1
