"""Mach's scenarios: every claim of the demonstrations ma-1 to ma-6 and ma-n, and the kernel's invariants meanwhile."""

from importlib.metadata import entry_points

import pytest

from capkernel.tools.demo.command import DEMOS
from capkernel.tools.demo.stage import Stage
from specs.sampling import Sampler
from tests.scenarios.playing import must_hold, same_in_any_process

MODULES = {point.name: point.value for point in entry_points(group=DEMOS) if point.name.startswith("ma-")}
LONGER = {"ma-1", "ma-3", "ma-4", "ma-5", "ma-n"}
SWEPT = ["ma-1", "ma-2", "ma-3", "ma-4", "ma-5"]
"""Those in which somebody dies, at each of his steps if all are wanted."""


@pytest.mark.parametrize("name", sorted(set(MODULES) - LONGER))
def test_the_scenario_holds(name: str) -> None:
    must_hold(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LONGER))
def test_the_scenario_holds_at_a_sample_of_points(name: str) -> None:
    must_hold(name)


@pytest.mark.campaign
@pytest.mark.parametrize("name", SWEPT)
def test_the_scenario_holds_wherever_somebody_dies(name: str) -> None:
    must_hold(name, everywhere=True)


SYSTEMS = {"mach_tasks": "server_report", "mach_exceptions": "guard_report", "mach_memory": "reader_report"}


@pytest.mark.parametrize(("system", "region"), SYSTEMS.items())
def test_the_kernel_keeps_its_invariants_meanwhile(system: str, region: str) -> None:
    stage = Stage(system)
    stage.booted.boot()
    sampler = Sampler(stage.system.loop, stage.system.machine, 60)
    assert stage.run_until(lambda: bool(stage.words(region, 1)[0]), 3_000_000)
    assert sampler.checked > 5
    assert not sampler.violations
    stage.close()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trace_in_any_process() -> None:
    code = "from capkernel.tools.demo.mach import ma3; print(ma3._play(5, 20).run.trace_hash)"
    assert same_in_any_process(code)
