"""The L4 family's scenarios: every claim of the demonstrations l4-1 to l4-6, and the kernel's invariants meanwhile."""

from importlib.metadata import entry_points

import pytest

from capkernel.tools.demo.command import DEMOS
from capkernel.tools.demo.stage import Stage
from specs.sampling import Sampler
from tests.scenarios.playing import must_hold, same_in_any_process

MODULES = {point.name: point.value for point in entry_points(group=DEMOS) if point.name.startswith("l4-")}
SHORT = {"l4-2", "l4-3"}


def test_there_is_a_demonstration_of_each_scenario() -> None:
    assert sorted(MODULES) == [f"l4-{number}" for number in range(1, 7)]


@pytest.mark.parametrize("name", sorted(SHORT))
def test_the_scenario_holds(name: str) -> None:
    assert must_hold(name).trace_hash


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(MODULES) - SHORT))
def test_the_scenario_holds_at_a_sample_of_points(name: str) -> None:
    assert must_hold(name).trace_hash


@pytest.mark.campaign
@pytest.mark.parametrize("name", sorted(MODULES))
def test_the_scenario_holds_wherever_somebody_dies_and_with_other_seeds(name: str) -> None:
    must_hold(name, everywhere=True)


SYSTEMS = {
    "l4_ipc": ("alice_report", 20, 80), "l4_mapping": ("a_report", 8, 20), "l4_sigma0": ("first_report", 1, 40),
    "l4_pagers": ("inner_task_report", 8, 80), "l4_factories": ("sibling_report", 2, 400),
    "l4_capfault": ("client_report", 24, 10),
}  # fmt: skip
"""Of each system the region whose first word says how far it is, how far is enough, and each how manyth kernel entry
is followed by a look.
"""


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_kernel_keeps_its_invariants_meanwhile(system: str) -> None:
    region, end, every = SYSTEMS[system]
    stage = Stage(system)
    stage.booted.boot()
    sampler = Sampler(stage.system.loop, stage.system.machine, every)
    assert stage.run_until(lambda: stage.words(region, 1)[0] >= end, 200_000)
    stage.run(time_us=2_000)
    assert sampler.checked > 5
    assert not sampler.violations
    stage.close()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trace_in_any_process() -> None:
    code = "from capkernel.tools.demo.l4 import l4_1; print(l4_1._play(5).run.trace_hash)"
    assert same_in_any_process(code)
