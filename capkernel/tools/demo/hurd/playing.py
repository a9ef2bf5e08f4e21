"""One run of the system of the stories about translators, and what came of it."""

from collections.abc import Callable, Mapping

from attrs import frozen

from capkernel.tools.demo.hurd.notes import is_over, notes_of
from capkernel.tools.demo.hurd.numbered import Numbered
from capkernel.tools.demo.stage import Stage
from capkernel.tools.inject import Fault
from capkernel.tools.tour_systems import Run
from hwmodel.block import RamDisk

LONGEST_US = 2_000_000
SETTLE_US = 2_000
REPORTS = {"alice": "alice_report", "mallory": "mallory_report"}


@frozen
class Outcome:
    """What the two users wrote down, by name; whether they came to their ends; how many steps each process made."""

    alice: dict[str, str]
    mallory: dict[str, str]
    is_over: bool
    steps: dict[str, int]
    activated: bool
    disk: RamDisk
    run: Run


def play(
    seed: int = 0, faults: tuple[Fault, ...] = (), *, programs: Mapping[str, str] | None = None,
    disk: RamDisk | None = None, users: tuple[str, ...] = ("alice", "mallory"), longest_us: int = LONGEST_US,
    watch: Callable[[Stage], None] | None = None, exactly_us: int = 0, variant: str = "",
) -> Outcome:  # fmt: skip
    """Run until those users have come to their ends, or for exactly so long. ``watch`` is told the stage before."""
    stage = Stage("hurd", seed=seed, faults=faults, programs=programs, disk=disk, variant=variant)
    Numbered(stage)
    if watch is not None:
        watch(stage)
    if exactly_us:
        stage.booted.boot()
        run = stage.run(time_us=exactly_us)
        over = all(is_over(stage, REPORTS[user]) for user in users)
    else:
        over = stage.run_until(
            lambda: all(is_over(stage, REPORTS[user]) for user in users), longest_us, 200, growth=1.5
        )
        run = stage.run(time_us=SETTLE_US)
    alice, mallory = (notes_of(stage, region) for region in REPORTS.values())
    stage.close()
    return Outcome(alice, mallory, over, dict(stage.injector.steps), bool(stage.injector.activated), stage.disk, run)
