"""A system of tasks, played once with faults: what they reported."""

from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.inject import Fault, Kind
from capkernel.tools.tour_systems import Run

SLICE_US = 500


@frozen
class Played:
    """What came of a run: the words of each region, the steps of each domain, the run."""

    words: dict[str, tuple[int, ...]]
    steps: dict[str, int]
    run: Run
    is_over: bool
    activated: int


def play(
    system: str, over: str | Callable[[Stage], bool], reports: Mapping[str, int], *, faults: Sequence[Fault] = (),
    seed: int = 0, programs: Mapping[str, str] | None = None, longest_us: int = 3_000_000,
) -> Played:  # fmt: skip
    """Run a system until ``over`` is so, or the first word of that region is set. ``reports`` says how many words of
    which region are looked at; ``programs`` take the place of the description's.
    """
    stage = Stage(system, faults=tuple(faults), seed=seed, programs=programs)

    def is_done() -> bool:
        return over(stage) if callable(over) else bool(stage.words(over, 1)[0])

    is_over = stage.run_until(is_done, longest_us, SLICE_US)
    words = {region: stage.words(region, count) for region, count in reports.items()}
    run = stage.run(time_us=1)
    steps = dict(stage.injector.steps)
    activated = len(stage.injector.activated)
    stage.close()
    return Played(words, steps, run, is_over, activated)


def crash(pd: str, step: int) -> Fault:
    """An illegal instruction at a step of a domain's first life."""
    return Fault(pd, step, Kind.CRASH, life=1)
