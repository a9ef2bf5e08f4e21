"""One system of all: calm, with faults, and with a layer switched off; invariants and ceiling are on."""

import pytest

from capkernel.system.authority import authority_of
from capkernel.system.ceiling import read_ceiling
from capkernel.tools.demo import composition
from capkernel.tools.demo.composition import LATENCY_US, OPEN, SILENT_US, UNWALLED, Outcome, play
from capkernel.tools.demo.stage import Stage, find_system
from capkernel.tools.inject import Fault, Kind
from hwmodel.virtio import virtio_rng
from tests.composition.watching import Watched, drawn, watched
from tests.scenarios.playing import must_hold

SEEDS, FAULTS = range(200), 6
STEPS = {
    "red": 260, "blue": 260, "pager": 85, "paths": 160, "broker": 250, "wall": 75, "audit": 180, "files": 330,
    "disk": 710, "entropy": 50, "timer": 110, "supervisor": 600,
}  # fmt: skip
"""About what each server does in a calm run: faults are drawn within."""


def promised(outcome: Outcome) -> None:
    """All that is promised, whatever dies."""
    assert outcome.is_over
    assert outcome.alice.red
    assert outcome.bob.blue
    assert outcome.is_walled
    assert not outcome.mallory.ways_in
    assert outcome.late_us <= SILENT_US
    assert not outcome.alice.kept + outcome.bob.kept


def holds(seen: Watched) -> None:
    """The same, with the states in between."""
    promised(seen.outcome)
    assert seen.checked
    assert seen.violations == ()


def test_the_description_cannot_lead_above_the_ceiling() -> None:
    stage = Stage("composition", devices={"virtio1": virtio_rng(seed=1)})
    graph = authority_of(stage.system.system, stage.booted.system.extensions.grants)
    text = (find_system("composition").parent / "composition_ceiling.toml").read_text()
    assert read_ceiling(text, graph).excesses(graph) == []
    stage.close()


@pytest.mark.slow
def test_when_nobody_dies_each_reads_his_own() -> None:
    outcome = play()
    promised(outcome)
    assert outcome.late_us <= LATENCY_US
    assert min(outcome.page_faults) >= 2
    assert min(outcome.mallory.places, outcome.alice.refused, outcome.bob.refused, outcome.alice.used) > 0


@pytest.mark.slow
def test_when_archive_pager_and_broker_die_they_come_back_and_all_get_on() -> None:
    faults = (Fault("red", 130, Kind.CRASH), Fault("pager", 14, Kind.CRASH), Fault("broker", 170, Kind.HANG))
    seen = watched(faults, 0, 1999)
    holds(seen)
    assert len(seen.outcome.activated) == len(faults)


@pytest.mark.slow
def test_without_the_wall_the_same_reader_reads_both() -> None:
    outcome = play(variant=UNWALLED, clients=("alice",))
    assert outcome.alice.red
    assert outcome.alice.blue


@pytest.mark.slow
def test_where_a_path_is_a_grant_the_same_attacker_reads() -> None:
    assert play(programs=OPEN, clients=("mallory",)).mallory.read


@pytest.mark.campaign
@pytest.mark.parametrize("seed", SEEDS)
def test_random_crashes_and_hangs_leave_all_promises_standing(seed: int) -> None:
    holds(watched(drawn(seed, FAULTS, STEPS), seed, 101))


@pytest.mark.campaign
def test_the_demonstration_holds_at_every_sampled_step_of_every_server() -> None:
    must_hold("composition", composition, everywhere=True)
