"""The kernel comes to the states that the specification says, in generated programs and along recorded ones.

``CAPKERNEL_CAMPAIGN`` replays all recordings; ``capkernel refine`` is the campaign of generated programs.
"""

import gzip
import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from capkernel.kernel import syscall
from capkernel.tools.conform.replay import replay
from capkernel.tools.conform.world import World
from specs import strategies
from specs.generate import LAYOUTS
from specs.programs import Layout, Program, world_of
from specs.refinement import golden
from specs.refinement.abstraction import Abstraction
from specs.refinement.campaign import Sums, play
from specs.refinement.check import beside, script
from specs.refinement.difference import differences, same_but_tree, same_tree
from specs.refinement.stand_in import StandIn

GOLDEN = Path(__file__).parent.parent / "golden"
GROUPS = ("capspace", "vspace", "tcb", "ipc", "memory", "faults", "time")
EACH = 1 if os.environ.get("CAPKERNEL_CAMPAIGN") else 90
"""Every so many recorded programs; a campaign takes them all."""
BATCHES, OPERATIONS = 10, 20_000
SEED = 7


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_program_of_nothing_ends_where_it_began(layout: Layout) -> None:
    execution, lockstep = beside(Program(layout))
    assert execution.problem is None
    assert lockstep.entries == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_abstractions_of_one_state_are_equal_and_what_is_known_makes_no_difference(layout: Layout) -> None:
    world = world_of(layout)
    world.rewind()
    known = Abstraction(world.state, world.machine)
    first, again = known.abstract(), known.abstract()
    fresh = Abstraction(world.state, world.machine).abstract()
    for other in (again, fresh):
        assert same_but_tree(first, other)
        assert same_tree(first, other)
        assert differences(first, other) == []
    assert first.kheap.keys() == fresh.kheap.keys()


@pytest.mark.parametrize("fix", ["fix_send_to_passive", "fix_atomic_cancel", "fix_lent_turns"])
def test_kernels_that_depart_from_sel4_are_not_specified(fix: str) -> None:
    with pytest.raises(ValueError, match="fix_"):
        beside(Program(Layout(fixes=(fix,))))


@pytest.mark.parametrize("batch", range(4))
def test_generated_programs_do_not_diverge(batch: int) -> None:
    sums = play(SEED, 60 * batch, 60)
    assert sums.divergences == []
    assert sums.operations > 600


@settings(
    max_examples=30, derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)  # fmt: skip
@given(strategies.programs(20))
def test_programs_of_hypothesis_do_not_diverge(program: Program) -> None:
    execution, _ = beside(program)
    assert execution.problem is None, script(program)


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(BATCHES))
def test_two_hundred_thousand_operations_do_not_diverge(batch: int) -> None:
    """Programs with even numbers, which are made up beforehand: that takes less time. The others are tried above."""
    sums = Sums()
    for number in count(1_000_000 * (batch + 1), 2):
        sums.add(play(SEED, number, 1))
        assert sums.divergences == []
        if sums.operations >= OPERATIONS:
            break


@pytest.mark.parametrize("group", GROUPS)
def test_specification_kernel_and_reality_agree(group: str) -> None:
    with gzip.open(GOLDEN / f"{group}.jsonl.gz", "rt") as lines:
        programs = [json.loads(line) for line in list(lines)[::EACH]]
    found = golden.by_group(golden.replay_all(programs, workers=1))[group]
    assert (found.against_reality, found.against_kernel) == ([], [])
    assert found.programs == len(programs)
    assert found.entries >= found.operations > 0


def test_no_kernel_is_behind_the_specification_that_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    class Alone(StandIn):
        def begin(self, world: World) -> None:
            super().begin(world)
            for name in ("handle_syscall", "handle_vm_fault", "handle_user_exception", "handle_interrupt"):
                monkeypatch.setattr(syscall, name, None)

    with gzip.open(GOLDEN / "faults.jsonl.gz", "rt") as lines:
        program = json.loads(next(iter(lines)))
    outcome = replay(program, [Alone()])
    assert outcome.divergence is None
    assert outcome.operations == len(program["ops"])


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_a_program_of_a_seed_is_the_same_everywhere(hash_seed: str) -> None:
    code = "from specs.refinement.campaign import play; s = play(3, 0, 6); print(s.operations, s.entries, s.kinds)"
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    sums = play(3, 0, 6)
    assert done.stdout.strip() == f"{sums.operations} {sums.entries} {sums.kinds}"
