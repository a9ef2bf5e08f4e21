"""The scenarios HU-1 to HU-6: every claim of the demonstrations, and the kernel's invariants meanwhile."""

import importlib
import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from capkernel.tools.demo.command import DEMOS
from capkernel.tools.demo.hurd.meeting import meet
from capkernel.tools.demo.stage import Stage
from specs.sampling import Sampler
from tests.scenarios.playing import must_hold

MODULES = {point.name: point.value for point in entry_points(group=DEMOS)}
FAST = ["hu-3", "hu-6"]
SLOW = ["hu-1", "hu-2", "hu-4", "hu-5"]
CASTS = {
    "hu-1": ("hurd", {}, 2_000, 600),
    "hu-2": ("hurd", {"alice": "hurd_keeper", "mallory": "hurd_lurker"}, 3_000, 600),
    "hu-3": ("hurd_auth", {}, 1_000, 40),
    "hu-4": ("hurd", {"alice": "hurd_subhurd_owner", "mallory": "hurd_bystander"}, 22_000, 600),
    "hu-5": ("hurd", {"alice": "hurd_searcher", "mallory": "hurd_trickster"}, 4_000, 600),
    "hu-6": ("hurd_auth", {"alice": "hurd_dropper", "mallory": "hurd_regainer"}, 1_000, 40),
}
"""The system, its programs, for how many microseconds the checker looks, and at each how many-th kernel entry."""


@pytest.mark.parametrize("name", FAST)
def test_the_scenario_holds(name: str) -> None:
    must_hold(name, importlib.import_module(MODULES[name]))


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_the_scenario_holds_at_a_sample_of_points(name: str) -> None:
    must_hold(name, importlib.import_module(MODULES[name]))


@pytest.mark.campaign
@pytest.mark.parametrize("name", [*FAST, *SLOW])
def test_the_scenario_holds_at_every_point(name: str) -> None:
    must_hold(name, importlib.import_module(MODULES[name]), everywhere=True)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW[:2])) for name in CASTS])
def test_the_kernel_keeps_its_invariants_meanwhile(name: str) -> None:
    system, programs, time_us, every = CASTS[name]
    stage = Stage(system, programs=programs)
    stage.booted.boot()
    sampler = Sampler(stage.system.loop, stage.system.machine, every)
    stage.run(time_us=time_us)
    assert stage.words("alice_report", 1)[0] > 0
    assert sampler.checked >= 3
    assert not sampler.violations
    stage.close()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trace_in_any_process() -> None:
    code = "from capkernel.tools.demo.hurd.meeting import meet; print(meet(5).run.trace_hash)"
    env = {**os.environ, "PYTHONHASHSEED": "1"}
    elsewhere = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True, text=True)
    assert elsewhere.stdout.strip() == meet(5).run.trace_hash
