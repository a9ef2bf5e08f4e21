"""L4-4: three nested pagers, each with a task; the middle one is killed. What is above or beside it goes on."""

from typing import Final

from attrs import frozen

from capkernel.tools.demo.l4.looking import pages_of
from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.storage import spread
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind
from capkernel.tools.tour_systems import Run

TITLE = "three nested pagers: killing the middle one affects its subtree only, wherever it is when it dies"
MIDDLE: Final = "middle"
TASKS: Final = ("outer_task", "middle_task", "inner_task")
SUBTREE: Final = ("middle", "middle_task", "inner", "inner_task")
RANGE: Final = range(0x1000_0000, 0x4000_0000)
"""Where tasks and pagers have pages of others."""
ROUNDS, LONGEST_US, SETTLE_US = 8, 100_000, 20_000
POINTS: Final = 4
ENDED: Final = 2
"""Word of the outer pager's report: children that ended."""


@frozen
class Outcome:
    """Rounds and wrong words of each task; pages that the subtree has left; children that the outer pager lost."""

    rounds: dict[str, int]
    wrong: int
    left: int
    ended: int
    steps: int
    was_hit: bool
    run: Run

    @property
    def is_done(self) -> bool:
        """Whether every task came to its end."""
        return all(rounds == ROUNDS for rounds in self.rounds.values())


def story(story: Story, *, everywhere: bool = False) -> None:
    """A run without a fault, then the middle pager dies at steps of its own; with ``everywhere`` at each of them."""
    calm = _play(story.seed)
    story.claim("three levels deep, each task finds in its pages what it has written", calm.is_done and not calm.wrong)
    story.claim("nobody stopped", not calm.run.faults and not calm.ended, calm.run.faults)
    points = spread(calm.steps, calm.steps if everywhere else POINTS)
    story.tell(f"the middle pager makes {calm.steps} steps; it dies at {len(points)} of them")
    dead = [_play(story.seed, step) for step in points]
    for step, each in zip(points[:POINTS], dead, strict=False):
        story.tell(f"dies at step {step}: rounds {', '.join(f'{name} {n}' for name, n in each.rounds.items())}")
    count = len(dead)
    story.claim("it died in each run, and its pager was told", all(run.was_hit and run.ended == 1 for run in dead))
    beside = sum(run.rounds["outer_task"] == ROUNDS for run in dead)
    story.claim("the task beside it comes to its end", beside == count, f"{beside} of {count}")
    story.claim("no task ever reads what it has not written", not any(run.wrong for run in dead))
    story.claim("nothing that came of its pages is left in its subtree", not any(run.left for run in dead))
    cut = sum(not run.is_done for run in dead)
    story.claim("the subtree waits: its pages' pager is gone", cut > 0, f"{cut} of {count} before all was done")
    again = [_play(story.seed, step, "l4_outer_pager_restarting.elf") for step in points]
    done = sum(run.is_done and not run.wrong for run in again)
    story.claim("started anew, its subtree goes on with what it had, in each run", done == count, f"{done} of {count}")
    # The outer pager takes all pages back now and then in any case: not wherever it dies is something left.
    careless = (_play(story.seed, step, "l4_outer_pager_careless.elf").left for step in spread(calm.steps, POINTS)[1:])
    story.claim("with an outer pager that takes nothing back, the subtree keeps pages of the dead", any(careless))
    story.trace_hash = calm.run.trace_hash


def _play(seed: int, step: int = 0, outer: str = "") -> Outcome:
    faults = (Fault(MIDDLE, step, Kind.CRASH),) if step else ()
    stage = Stage("l4_pagers", seed=seed, faults=faults, programs={"outer": outer} if outer else None)

    def is_over() -> bool:
        return all(stage.words(f"{name}_report", 1)[0] == ROUNDS for name in TASKS)

    stage.run_until(is_over, LONGEST_US if outer or not step else SETTLE_US)
    rounds = {name: stage.words(f"{name}_report", 1)[0] for name in TASKS}
    wrong = sum(stage.words(f"{name}_report", 2)[1] for name in TASKS)
    left = sum(len(pages_of(stage, name, RANGE)) for name in SUBTREE)
    ended, hit = stage.words("outer_report", ENDED + 1)[ENDED], bool(stage.injector.activated)
    run, steps = stage.run(time_us=1), stage.injector.steps[MIDDLE]
    stage.close()
    return Outcome(rounds, wrong, left, ended, steps, hit, run)
