"""One system of all: calm, with faults, and with a layer switched off; invariants and ceiling are on."""

import random
import re

import pytest

from capkernel.tools.demo import composition
from capkernel.tools.demo.composition import (
    LATENCY_US,
    MANY_US,
    OPEN,
    REBUILT_US,
    SILENT_US,
    SUPERVISED,
    UNWALLED,
    Outcome,
    play,
)
from capkernel.tools.demo.stage import Stage, find_system
from capkernel.tools.demo.volumes import spread_from
from capkernel.tools.inject import Fault, Kind
from hwmodel.virtio import virtio_rng
from servers.system.manifest import read_manifest
from tests.scenarios.playing import must_hold
from tests.scenarios.watching import Watch, graph_of, shipped_ceiling

SEEDS, FAULTS = range(200), 6
SYSTEMS = find_system("composition").parent
REBUILT_A_SERVER_US = 10_000
STEPS = {
    "red": 260, "blue": 260, "pager": 85, "paths": 160, "broker": 250, "wall": 75, "audit": 180, "files": 330,
    "disk": 710, "entropy": 50, "timer": 110, "supervisor": 600,
}  # fmt: skip
"""About what each server does in a calm run: faults are drawn within."""


def promised(outcome: Outcome, late_us: int = MANY_US) -> None:
    """All that is promised, whatever dies: no reading worked for longer than that after its lease."""
    assert outcome.is_over
    assert outcome.alice.red
    assert outcome.bob.blue
    assert outcome.is_walled
    assert not outcome.mallory.ways_in
    assert outcome.late_us <= late_us
    assert not outcome.alice.kept + outcome.bob.kept


def check_watched(faults: tuple[Fault, ...], seed: int, every: int) -> Outcome:
    """Play: all that is promised holds, so do all invariants, and no state lies above the ceiling."""
    watch = Watch("composition", every)
    outcome = play(faults, seed, watch=watch)
    promised(outcome)
    assert watch.violations == []
    assert watch.checked
    return outcome


def drawn(seed: int) -> tuple[Fault, ...]:
    """Crashes and hangs of supervised servers, at random steps within those that they have in a calm run."""
    chance = random.Random(f"composition {seed}")
    names = [chance.choice(SUPERVISED) for _ in range(FAULTS)]
    kinds = (Kind.CRASH, Kind.CRASH, Kind.HANG)
    return tuple(Fault(name, chance.randint(1, STEPS[name]), chance.choice(kinds), seed) for name in names)


def test_the_description_cannot_lead_above_the_ceiling() -> None:
    stage = Stage("composition", devices={"virtio1": virtio_rng(seed=1)})
    graph = graph_of(stage.booted)
    assert shipped_ceiling("composition", graph).excesses(graph) == []
    stage.close()


@pytest.mark.slow
def test_when_nobody_dies_each_reads_his_own() -> None:
    outcome = play()
    promised(outcome, LATENCY_US)
    assert min(outcome.page_faults) >= 2
    assert min(outcome.mallory.places, outcome.alice.refused, outcome.bob.refused, outcome.alice.used) > 0


@pytest.mark.slow
def test_when_archive_pager_and_broker_die_they_come_back_and_all_get_on() -> None:
    faults = (Fault("red", 130, Kind.CRASH), Fault("pager", 14, Kind.CRASH), Fault("broker", 170, Kind.HANG))
    outcome = play(faults)
    promised(outcome)
    assert len(outcome.activated) == len(faults)


def test_the_bound_of_leases_follows_from_the_manifest() -> None:
    """Whoever the broker waits for, or it itself, is noticed to be silent and started anew within the bound."""
    patience = [each.patience for each in read_manifest((SYSTEMS / "composition.toml").read_text())]
    (period,) = re.findall(r'name="metronome".* period="(\d+)"', (SYSTEMS / "composition.system").read_text())
    assert (max(patience) + 1) * int(period) + REBUILT_A_SERVER_US <= SILENT_US
    assert REBUILT_US < SILENT_US < MANY_US


@pytest.mark.slow
def test_a_lease_ends_in_time_while_the_broker_waits_for_a_server_that_hangs() -> None:
    outcome = play((Fault("audit", 160, Kind.HANG),))
    promised(outcome, SILENT_US)
    assert outcome.late_us > LATENCY_US


@pytest.mark.campaign
@pytest.mark.parametrize("name", ["audit", "files", "broker", "wall", "red", "blue", "timer", "pager", "disk"])
def test_a_lease_ends_in_time_wherever_one_server_hangs(name: str) -> None:
    for step in spread_from(10, STEPS[name], 40):
        promised(play((Fault(name, step, Kind.HANG),)), SILENT_US)


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
    check_watched(drawn(seed), seed, 101)


@pytest.mark.campaign
def test_the_demonstration_holds_at_every_sampled_step_of_every_server() -> None:
    must_hold("composition", composition, everywhere=True)
