"""The scenarios QN-1 to QN-7: every claim of the demonstrations, and the kernel's invariants meanwhile."""


import pytest

from capkernel.tools.demo.stage import Stage
from specs.sampling import Sampler
from tests.scenarios.playing import must_hold

FAST = ["qn-2", "qn-3"]
SLOW = ["qn-1", "qn-4", "qn-5", "qn-6", "qn-7"]
SYSTEMS = {
    "qnx_states": 10_000,
    "qnx_pulses": 15_000,
    "qnx_paths": 20_000,
    "qnx_priority": 30_000,
    "qnx_unblock": 30_000,
    "qnx_ha": 20_000,
}
"""Microseconds that each system runs for under the eyes of the checker."""


@pytest.mark.parametrize("name", FAST)
def test_the_scenario_holds(name: str) -> None:
    must_hold(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_the_scenario_holds_at_a_sample_of_points(name: str) -> None:
    must_hold(name)


@pytest.mark.campaign
@pytest.mark.parametrize("name", [*FAST, *SLOW])
def test_the_scenario_holds_at_every_point(name: str) -> None:
    must_hold(name, everywhere=True)


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_kernel_keeps_its_invariants(name: str) -> None:
    stage = Stage(name)
    stage.booted.boot()
    sampler = Sampler(stage.system.loop, stage.system.machine, 4)
    stage.run(time_us=SYSTEMS[name])
    stage.close()
    assert sampler.checked > 2
    assert not sampler.violations
