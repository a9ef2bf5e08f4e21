"""Processes: the demonstration holds, and the kernel's invariants hold meanwhile."""

import importlib

import pytest

from capkernel.tools.demo import processes
from capkernel.tools.demo.stage import Stage
from specs.sampling import Sampler
from tests.scenarios.playing import must_hold


def test_the_story_holds_and_the_kernel_keeps_its_invariants() -> None:
    stage = Stage("processes")
    stage.booted.boot()
    sampler = Sampler(stage.system.loop, stage.system.machine, 400)
    assert stage.run_until(lambda: bool(stage.words("report", 1)[0]), processes.LONGEST_US)
    assert sampler.checked > 20
    assert not sampler.violations
    stage.close()


@pytest.mark.slow
def test_the_demonstration_holds() -> None:
    module = importlib.import_module("capkernel.tools.demo.processes")
    must_hold("processes", module)
