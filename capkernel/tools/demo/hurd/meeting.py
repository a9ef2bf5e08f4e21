"""One run of the system of the stories about identities, and what came of it."""

from collections.abc import Mapping

from attrs import frozen

from capkernel.tools.demo.hurd.notes import is_over, notes_of
from capkernel.tools.demo.stage import Stage
from capkernel.tools.inject import Fault
from capkernel.tools.tour_systems import Run

LONGEST_US = 200_000
REPORTS = ("alice_report", "mallory_report")


@frozen
class Met:
    """What the two clients wrote down, by name, and whether they came to their ends.

    ``steps`` is how many each domain took until then, ``deaths`` how many of the faults happened.
    """

    alice: dict[str, str]
    mallory: dict[str, str]
    is_over: bool
    steps: dict[str, int]
    deaths: int
    run: Run


def meet(seed: int = 0, programs: Mapping[str, str] | None = None, faults: tuple[Fault, ...] = ()) -> Met:
    """Run until both have come to their ends."""
    stage = Stage("hurd_auth", seed=seed, programs=programs, faults=faults)
    over = stage.run_until(lambda: all(is_over(stage, report) for report in REPORTS), LONGEST_US, 200, growth=1.5)
    steps, deaths = dict(stage.injector.steps), len(stage.injector.activated)
    run = stage.run(time_us=1)
    alice, mallory = (notes_of(stage, report) for report in REPORTS)
    stage.close()
    return Met(alice, mallory, over, steps, deaths, run)
