"""Fair share and earliest deadline first in a system: every claim, and the kernel's invariants."""

import importlib
from importlib.metadata import entry_points

import pytest

from capkernel.tools.demo.command import DEMOS
from capkernel.tools.demo.stage import Stage
from specs.sampling import Sampler
from tests.scenarios.playing import must_hold

MODULES = {point.name: point.value for point in entry_points(group=DEMOS)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fair-share", "edf"])
def test_the_demonstration_holds(name: str) -> None:
    must_hold(name, importlib.import_module(MODULES[name]))


@pytest.mark.campaign
@pytest.mark.parametrize("name", ["fair-share", "edf"])
def test_the_demonstration_holds_with_every_seed(name: str) -> None:
    must_hold(name, importlib.import_module(MODULES[name]), everywhere=True)


@pytest.mark.parametrize("name", ["partitions", "fair_share", "edf"])
def test_the_kernel_keeps_its_invariants(name: str) -> None:
    stage = Stage(name)
    stage.booted.boot()
    sampler = Sampler(stage.system.loop, stage.system.machine, 10)
    stage.run(time_us=20_000)
    stage.close()
    assert sampler.checked > 5
    assert not sampler.violations


def test_the_same_seed_gives_the_same_trace() -> None:
    def played() -> str:
        stage = Stage("edf", seed=3)
        run = stage.run(time_us=30_000)
        stage.close()
        return run.trace_hash

    assert played() == played()
