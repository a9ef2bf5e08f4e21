"""What the same work costs in each build: files on a disk, bytes through TCP."""

from importlib import import_module
from importlib.metadata import entry_points
from typing import Final

from capkernel.tools.campaign.batch import REPORT
from capkernel.tools.campaign.subjects import COMPILED, Subject
from capkernel.tools.contrast.builds import Build
from capkernel.tools.demo.lines import PROGRAMS
from capkernel.tools.demo.stage import Stage
from capkernel.tools.meter import Cost, Meter, run_to
from hwmodel.block import RamDisk

LONGEST_US: Final = 10_000_000
DISK_BYTES: Final = 1 << 22
SLICE_US: Final = 5
"""Virtual time between two looks at what arrives from outside."""
WARM, ROUNDS = 8, 40
"""Rounds of a client through the network: until it is warm, and those that are measured."""


def file_costs(build: Build, seed: int = 0) -> dict[str, Cost]:
    """Of each kind of file work, the client's own words for it first."""
    client = import_module(next(iter(entry_points(group=PROGRAMS, name="measured"))).value)
    stage = Stage(
        build.system, seed=seed, variant=build.measured_variant, programs=build.measured_programs,
        disk=RamDisk(DISK_BYTES),
    )  # fmt: skip
    costs = {}
    for index, kind in enumerate(client.KINDS):
        run_to(stage, 2 * index + 1, LONGEST_US)
        meter = Meter(stage)
        run_to(stage, 2 * index + 2, LONGEST_US)
        costs[kind] = meter.cost(client.ROUNDS)
    stage.close()
    return costs


def round_cost(subject: Subject, seed: int = 0) -> Cost:
    """Of a round of a campaign's client, undisturbed, with whoever is outside."""
    stage = Stage(
        subject.system or subject.name, seed=seed, variant="campaign", programs=subject.programs(COMPILED),
        devices=subject.devices(),
    )  # fmt: skip
    stage.booted.boot()
    system, target = stage.system, WARM
    system.loop.on_host = lambda thread, rounds: rounds < target
    _reach(stage)
    meter, target = Meter(stage), WARM + ROUNDS
    _reach(stage)
    cost = meter.cost(ROUNDS)
    stage.close()
    return cost


def _reach(stage: Stage) -> None:
    """Run until the client has made the rounds that it is to make. Raises RuntimeError if it does not."""
    for _ in range(0, LONGEST_US, SLICE_US):
        if stage.system.run(time_us=SLICE_US) == "host":
            return
        stage.system.machine.poll_input()
    raise RuntimeError(f"the client does not get on: {stage.words(REPORT, 4)}")
