"""One tree out of littlefs, FAT and memory, while drivers and servers of the disks crash."""

from attrs import frozen

from capkernel.tools.demo.stage import DISK_BYTES, Stage
from capkernel.tools.demo.storage import spread
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind
from hwmodel.block import RamDisk
from hwmodel.virtio import virtio_blk

TITLE = "littlefs, FAT and memory as one tree; drivers and servers crash, and what was synced is there"
DISK_DOMAINS = ("disk", "disk2", "files", "fat")
"""Who crashes. What the mount server and the one for memory know ends with them."""
FIRST, LONGEST_US, SETTLE_US = 40, 4_000_000, 20_000
"""The first step at which somebody crashes: then all have started."""
SAMPLE, ALL = 1, 12
"""Points at which each of them crashes; with ``everywhere``."""


@frozen
class Outcome:
    """What came of a run, and what is on the disks afterwards."""

    done: bool
    errors: int
    wrong: int
    again: int
    activated: int
    faults: int
    steps: dict[str, int]
    littlefs: bytes
    fat: bytes
    trace_hash: str


def play(faults: tuple[Fault, ...] = (), seed: int = 0) -> Outcome:
    """Run the system once."""
    second = RamDisk(DISK_BYTES)
    stage = Stage("fat", faults=faults, seed=seed, devices={"virtio1": virtio_blk(second)})
    stage.run_until(lambda: bool(stage.words("report", 1)[0]), LONGEST_US)
    steps = dict(stage.injector.steps)
    run = stage.run(time_us=SETTLE_US)
    done, errors, wrong, again = stage.words("report", 4)
    outcome = Outcome(
        done=bool(done), errors=errors, wrong=wrong, again=again, activated=len(stage.injector.activated),
        faults=len(run.faults), steps=steps, littlefs=stage.disk.contents(), fat=second.contents(),
        trace_hash=run.trace_hash,
    )  # fmt: skip
    stage.close()
    return outcome


def story(story: Story, *, everywhere: bool = False) -> None:
    """A calm run, then a crash of each who is between a client and a disk, at some of their steps."""
    calm = play(seed=story.seed)
    story.claim("three file systems were written, copied between and read as one tree", calm.done and not calm.wrong)
    story.claim("no request failed", not calm.errors and not calm.again)
    outcomes = [
        (name, step, play((Fault(name, step, Kind.CRASH),), story.seed))
        for name in DISK_DOMAINS
        for step in spread_from(FIRST, calm.steps[name], ALL if everywhere else SAMPLE)
    ]
    crashed = [(name, step) for name, step, outcome in outcomes if outcome.activated]
    story.claim("each of those in between crashed", {name for name, _ in crashed} == set(DISK_DOMAINS), len(crashed))
    lost = [(name, step) for name, step, outcome in outcomes if not outcome.done or outcome.wrong]
    story.claim("what was synced was there, and what is read is what was written", not lost, lost or "")
    failed = [(name, step) for name, step, outcome in outcomes if outcome.errors or outcome.faults]
    story.claim("no request failed otherwise than by a server that was started anew", not failed, failed or "")
    again = [name for name, _, outcome in outcomes if outcome.again]
    story.claim("a driver's crash was noticed by no client", not {"disk", "disk2"} & set(again), len(again))
    story.trace_hash = calm.trace_hash


def spread_from(first: int, last: int, points: int) -> list[int]:
    """So many numbers between the first and the last, evenly spread."""
    return [first + number for number in spread(last - first, points + 2)[1:-1]]
