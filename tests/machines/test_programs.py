"""Whole programs under the oracle: random ones from the grammar, shrinkable ones, and a machine of single steps.

``CAPKERNEL_CAMPAIGN`` (a number of programs) makes a campaign of it: that many random programs from ``CAPKERNEL_SEED``
on, and Hypothesis with fresh randomness.
"""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from specs import generate, strategies
from specs.check import require, to_script
from specs.generate import RandomChooser
from specs.monitor import Monitor
from specs.programs import Program, Session, Step, run, world_of
from specs.programs.model import GARBAGE

CAMPAIGN = int(os.environ.get("CAPKERNEL_CAMPAIGN", "0"))
SEED = int(os.environ.get("CAPKERNEL_SEED", "0"))
BATCHES, BATCH = 8, max(25, CAMPAIGN // 8)
QUICK: dict[str, Any] = {
    "derandomize": not CAMPAIGN, "deadline": None, "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
}  # fmt: skip


@pytest.mark.parametrize("batch", range(BATCHES))
def test_all_invariants_hold_in_random_programs(batch: int) -> None:
    for seed in range(SEED + batch * BATCH, SEED + (batch + 1) * BATCH):
        require(generate.program(RandomChooser(seed), 40))


@settings(max_examples=CAMPAIGN or 40, **QUICK)
@given(strategies.programs(25))
def test_all_invariants_hold_in_generated_programs(program: Program) -> None:
    require(program)


@settings(max_examples=CAMPAIGN or 40, **QUICK)
@given(strategies.noise())
def test_no_words_raise_out_of_the_kernel(program: Program) -> None:
    """T15."""
    require(program)


@pytest.mark.parametrize("seed", range(SEED, SEED + max(12, CAMPAIGN // 8)))
def test_a_program_runs_the_same_again_and_in_a_fresh_world(seed: int) -> None:
    """T15: deterministic, in the rewound world and in one that was built anew."""
    program = generate.program(RandomChooser(seed), 40)
    assert run(program).digest == run(program).digest == run(program, fresh=True).digest


def _without_garbage(word: Any) -> Any:
    """A garbage word with the part that says of which run it is taken out."""
    if isinstance(word, int) and word >> 48 == GARBAGE >> 48:
        return word & ~(0xFFFF << 32)
    if isinstance(word, dict):
        return {key: _without_garbage(value) for key, value in word.items()}
    return tuple(map(_without_garbage, word)) if isinstance(word, tuple | list) else word


@pytest.mark.parametrize("seed", range(SEED + 100, SEED + 100 + max(30, CAMPAIGN // 4)))
def test_outputs_come_from_inputs(seed: int) -> None:
    """T18: with other garbage in all registers and words that are no inputs, everything comes out the same."""
    program = generate.program(RandomChooser(seed), 40)
    one, other = run(program, garbage=1), run(program, garbage=2)
    for entry, (here, there) in enumerate(zip(one.trace, other.trace, strict=True)):
        assert _without_garbage(here) == _without_garbage(there), f"entry {entry}\n{to_script(program, one)}"
    assert _without_garbage(one.final) == _without_garbage(other.final), to_script(program, one)


class StepMachine(RuleBasedStateMachine):
    """Steps one at a time, each chosen when those before it have been taken."""

    @initialize(layout=st.sampled_from(generate.LAYOUTS))
    def begin(self, layout: Any) -> None:
        world = world_of(layout)
        world.rewind()
        self.layout = layout
        self.session = Session(world, Monitor(policy=world.policy))

    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        step: Step = data.draw(strategies.steps(self.layout))
        self.session.take(step)

    @invariant()
    def nothing_is_wrong(self) -> None:
        session = getattr(self, "session", None)
        if session is not None and session.execution.problem is not None:
            execution = session.execution
            raise AssertionError(f"{execution.problem}\n\n{to_script(execution.program, execution)}")


StepMachine.TestCase.settings = settings(max_examples=CAMPAIGN or 12, stateful_step_count=20, **QUICK)
TestSteps = StepMachine.TestCase
