"""MINIX's promise: every claim of the demonstrations mx-1 to mx-7, at the points that they try by default."""

from collections import Counter
from pathlib import Path

import pytest

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.storage import play
from capkernel.tools.inject import Fault, Kind
from servers.system.reincarnation import MISLED
from tests.scenarios.playing import must_hold, same_in_any_process


@pytest.mark.parametrize("name", ["mx-3", "mx-4", "mx-5", "mx-6"])
def test_the_scenario_holds(name: str) -> None:
    must_hold(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mx-1", "mx-2", "mx-7"])
def test_the_scenario_holds_at_a_sample_of_points(name: str) -> None:
    must_hold(name)


@pytest.mark.campaign
@pytest.mark.parametrize("name", ["mx-1", "mx-2", "mx-3", "mx-4", "mx-6", "mx-7"])
def test_the_scenario_holds_at_every_point(name: str) -> None:
    must_hold(name, everywhere=True)


def test_a_claim_that_does_not_hold_fails_the_demonstration() -> None:
    """Without its supervisor's help the driver stays dead, and the claims say so."""
    faults = (Fault("disk", 60, Kind.CRASH), Fault("guardian", 1, Kind.HANG))
    faults += tuple(Fault("supervisor", 1, Kind.CRASH, life=life) for life in range(1, 400))
    outcome = play(faults)
    assert any(fault.pd == "disk" for fault in outcome.activated)
    assert not outcome.done


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trace_in_any_process() -> None:
    code = "from capkernel.tools.demo.storage import play; from capkernel.tools.inject import Fault, Kind; "
    code += "print(play((Fault('disk', 60, Kind.CRASH),), seed=5).trace_hash)"
    assert same_in_any_process(code)


LIARS = Path(__file__).parents[1] / "servers" / "liars"


def test_a_driver_that_makes_its_client_crash_again_and_again_is_started_anew() -> None:
    stage = Stage("storage", programs={"disk": str(LIARS / "vast_disk.elf")})
    assert stage.run_until(lambda: bool(stage.words("report", 1)[0]), 3_000_000)
    stage.close()
    assert stage.words("report", 3) == (1, 0, 0)
    began = Counter(name for _, name, has_begun in stage.system.lives if has_begun)
    assert (began["disk"], began["files"]) == (2, MISLED + 1)
