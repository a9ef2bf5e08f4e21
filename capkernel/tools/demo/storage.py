"""The system of MX-1 to MX-4 and MX-7, played once with faults: what came of it."""

from collections.abc import Callable

from attrs import frozen

from capkernel.tools.demo.lives import Lives
from capkernel.tools.demo.stage import Stage
from capkernel.tools.inject import Fault
from hwmodel.cpu.trap import Trap

DRIVER, SUPERVISOR = "disk", "supervisor"
LONGEST_US, SETTLE_US = 3_000_000, 100_000
"""A run ends so long after the client's end, when everybody has settled; at the latest after the first."""
BEAT_US = 10_000
"""The metronome's period in the system's description."""


@frozen
class Outcome:
    """What came of a run: of the client, of the disk, of those who died, of those who were to notice nothing.

    ``steps`` and ``device_steps`` are those made until the client's end.
    """

    done: bool
    errors: int
    wrong: int
    goes_on: bool
    digest: bytes
    steps: dict[str, int]
    device_steps: int
    driver: Lives
    supervisor: Lives
    pulse_beats: int
    pulse_missed: int
    script: tuple[int, ...]
    activated: tuple[Fault, ...]
    activated_at: tuple[int, ...]
    faults: int
    output: str
    trace_hash: str


Claims = dict[str, Callable[[Outcome], bool]]


def play(
    faults: tuple[Fault, ...] = (), *, device_step: int | None = None, seed: int = 0, variant: str = "",
) -> Outcome:  # fmt: skip
    """Run the system with faults at steps of domains, or with a crash of the driver at a step of the device."""
    stage = Stage("storage", faults=faults, seed=seed, variant=variant)
    driver, supervisor = Lives(stage, DRIVER, stage.disk_device), Lives(stage, SUPERVISOR)
    if device_step is not None:
        _crash_at(stage, device_step)
    stage.run_until(lambda: bool(stage.words("report", 1)[0]), LONGEST_US)
    steps, device_steps = dict(stage.injector.steps), stage.disk_device.faults.steps
    run = stage.run(time_us=SETTLE_US)
    stage.close()
    done, errors, wrong, goes_on = stage.words("report", 4)
    beats, _, missed = stage.words("pulse_report", 3)
    return Outcome(
        done=bool(done), errors=errors, wrong=wrong, goes_on=bool(goes_on), digest=stage.disk_digest(),
        steps=steps, device_steps=device_steps, driver=driver,
        supervisor=supervisor, pulse_beats=beats, pulse_missed=missed, script=stage.words("script_report", 3),
        activated=tuple(stage.injector.activated), activated_at=tuple(stage.injector.activated_at),
        faults=len(run.faults), output=run.output, trace_hash=run.trace_hash,
    )  # fmt: skip


def _crash_at(stage: Stage, device_step: int) -> None:
    """Let the driver crash at its next step once the device has made so many."""
    planned: list[bool] = []

    def look(trap: Trap) -> None:
        if not planned and stage.disk_device.faults.steps >= device_step:
            planned.append(True)
            stage.injector.crash_next(DRIVER)

    stage.system.loop.observers.append(look)


def unnoticed(calm: Outcome) -> Claims:
    """What is to be so in a run with a crash, seen beside one without."""
    return {
        "the client ends, and saw no error": lambda outcome: outcome.done and not outcome.errors,
        "what it read is what it wrote": lambda outcome: not outcome.wrong,
        "the disk is byte for byte as without a crash": lambda outcome: outcome.digest == calm.digest,
        "nothing of a dead driver reached memory by DMA": lambda outcome: not outcome.driver.dma_between,
        "a client of higher priority missed no deadline": lambda o: o.pulse_beats > 0 and not o.pulse_missed,
        "nobody else stopped": lambda outcome: not outcome.faults,
    }


def spread(count: int, points: int) -> list[int]:
    """Numbers from 1 to ``count``, ``points`` of them or all, evenly spread; of one it is the middle."""
    if points >= count:
        return list(range(1, count + 1))
    if points == 1:
        return [1 + count // 2]
    return sorted({1 + n * (count - 1) // (points - 1) for n in range(points)})
