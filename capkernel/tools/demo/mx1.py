"""MX-1: the disk's driver crashes in mid-write, wherever that is, and nobody notices but the supervisor."""

from collections.abc import Callable

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind
from hwmodel.cpu.trap import Trap

TITLE = "a disk driver dies in mid-write; its client sees no error"
DRIVER = "disk"
TIME_US = 3_000_000
DONE, ERRORS, WRONG = 0, 8, 16
POINTS = 12
"""How many points are tried unless all are asked for."""


@frozen
class Outcome:
    """What came of a run with one crash, or none."""

    done: bool
    errors: int
    wrong: int
    digest: bytes
    steps: int
    device_steps: int
    incarnations: int
    dma_while_dead: int
    recovery_us: float
    activated: int
    faults: int
    trace_hash: str


class _Watch:
    """Looks after each kernel entry whether the driver is there, and what the device does meanwhile."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.dma_while_dead = 0
        self.recovery = 0
        self.lives = 0
        self._crash_at_device_step: int | None = None
        self._dead_since: int | None = None
        self._dma = 0
        self._thread: object = None
        stage.system.loop.observers.append(self.look)

    def crash_at_device_step(self, step: int) -> None:
        """Let the driver crash at its next step once the device has made so many."""
        self._crash_at_device_step = step

    def look(self, trap: Trap) -> None:
        """One kernel entry is over."""
        stage = self.stage
        thread = stage.system.threads.get(DRIVER)
        device = stage.disk_device
        dma = device.port.reads + device.port.writes
        if self._crash_at_device_step is not None and device.faults.steps >= self._crash_at_device_step:
            self._crash_at_device_step = None
            stage.injector.crash_next(DRIVER)
        if thread is None and stage.system.ready:
            if self._dead_since is None:
                self._dead_since = stage.system.machine.now()
            else:
                self.dma_while_dead += dma - self._dma
        elif thread is not self._thread:
            self.lives += 1
            if self._dead_since is not None:
                self.recovery = stage.system.machine.now() - self._dead_since
            self._dead_since = None
        self._thread, self._dma = thread, dma


def play(faults: tuple[Fault, ...] = (), device_step: int | None = None, seed: int = 0) -> Outcome:
    """Run the system once, with faults at steps of the driver, or a crash of it at a step of the device."""
    stage = Stage("storage", faults=faults, seed=seed)
    watch = _Watch(stage)
    if device_step is not None:
        watch.crash_at_device_step(device_step)
    run = stage.run(time_us=TIME_US)
    stage.close()
    return Outcome(
        done=bool(stage.word("report", DONE)), errors=stage.word("report", ERRORS), wrong=stage.word("report", WRONG),
        digest=stage.disk_digest(), steps=stage.injector.steps[DRIVER], device_steps=stage.disk_device.faults.steps,
        incarnations=watch.lives, dma_while_dead=watch.dma_while_dead, recovery_us=watch.recovery / 10,
        activated=len(stage.injector.activated), faults=len(run.faults), trace_hash=run.trace_hash,
    )  # fmt: skip


def spread(count: int, points: int) -> list[int]:
    """Numbers from 1 to ``count``, ``points`` of them or all, evenly spread."""
    if points >= count:
        return list(range(1, count + 1))
    return sorted({1 + n * (count - 1) // (points - 1) for n in range(points)})


def story(story: Story, *, everywhere: bool = False) -> None:
    """Tell it."""
    calm = play(seed=story.seed)
    story.tell(f"without a crash: the driver makes {calm.steps} steps, the disk {calm.device_steps}")
    story.claim("without a crash all is written and read", calm.done and not calm.errors and not calm.wrong)
    outcomes: dict[str, Outcome] = {}
    for step in spread(calm.steps, calm.steps if everywhere else POINTS):
        outcomes[f"driver step {step}"] = play((Fault(DRIVER, step, Kind.CRASH),), seed=story.seed)
    for step in spread(calm.device_steps, calm.device_steps if everywhere else POINTS):
        outcomes[f"device step {step}"] = play(device_step=step, seed=story.seed)
    crashed = {where: outcome for where, outcome in outcomes.items() if outcome.activated}
    story.tell(f"{len(crashed)} runs with a crash of the driver, each at another point")
    for text, holds in _claims(calm).items():
        wrong = [where for where, outcome in crashed.items() if not holds(outcome)]
        story.claim(text, not wrong, f"{len(crashed)} crashes" if not wrong else f"not at {', '.join(wrong[:5])}")
    recoveries = sorted(outcome.recovery_us for outcome in crashed.values() if outcome.recovery_us)
    story.figures |= {
        "crashes": len(crashed), "points without effect": len(outcomes) - len(crashed),
        "median recovery, µs of virtual time": recoveries[len(recoveries) // 2] if recoveries else None,
        "longest recovery, µs": recoveries[-1] if recoveries else None,
    }  # fmt: skip
    story.trace_hash = calm.trace_hash


def _claims(calm: Outcome) -> dict[str, Callable[[Outcome], bool]]:
    return {
        "the client ends, and saw no error": lambda outcome: outcome.done and not outcome.errors,
        "what it read is what it wrote": lambda outcome: not outcome.wrong,
        "the disk is byte for byte as without a crash": lambda outcome: outcome.digest == calm.digest,
        "the driver lives again": lambda outcome: outcome.incarnations > 1,
        "nothing of the dead driver reached memory by DMA": lambda outcome: not outcome.dma_while_dead,
        "nobody else stopped": lambda outcome: not outcome.faults,
    }
