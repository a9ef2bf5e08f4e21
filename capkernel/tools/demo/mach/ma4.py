"""MA-4: an external pager, which does not answer for one of its pages, and forges others; or dies."""

from collections.abc import Sequence

from capkernel.tools.demo.mach.tasks import Played, crash, play
from capkernel.tools.demo.storage import spread
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault

TITLE = "an external pager: pages come on demand and go back changed; a silent pager blocks one thread, not for long"
PAGER = "pager"
POINTS, FIRST = 2, 20
"""The pager has the object's first request behind it from this step on."""
LONG_US = 20_000
"""Four times the patience with a pager."""
PATIENCE_TICKS, OWN, FORGERIES = 50_000, 42, 3
REPORTS = {"reader_report": 12, "other_report": 3, "pager_report": 3}


def story(story: Story, *, everywhere: bool = False) -> None:
    """A run with the default pager, one without, and some in which the pager crashes."""
    calm = _play(story.seed)
    _, wrong, waited, first, last, *info = calm.words["reader_report"]
    resident, asked, default_asked, supplies, returns, default_returns, unasked = info
    _, _, longest = calm.words["other_report"]
    requests, returned, forged = calm.words["pager_report"]
    story.claim("each fault was asked of the pager once: data_request, data_supply", asked == requests > 8, requests)
    story.claim("whatever was touched is as the pager had it, or as it was written since", calm.is_over and not wrong)
    story.claim("changed pages went back to the pager: data_return", returns == returned >= 4, returned)
    story.claim("no more pages are in memory than there are frames", resident <= 4, resident)
    story.claim("supplies answer requests, one each", supplies == asked + default_asked - 1, supplies)
    story.claim("a silent pager blocks the thread for as long as the policy says", waited >= PATIENCE_TICKS, waited)
    story.claim("another thread with the same object waits no longer than for a page", longest < 2_000, longest)
    story.claim("then the default pager takes the page over, with zeros", first == 0 and default_asked >= 1)
    story.claim("what is changed there goes to the default pager, and comes back", last == OWN and default_returns >= 1)
    story.claim("what the pager sends later, unasked, changes nothing", forged == FORGERIES and unasked == 2, forged)
    story.claim("nobody stopped", not calm.run.faults)
    alone = _play(story.seed, programs={"default": "bystander.elf"}, longest_us=LONG_US)
    story.claim("without a default pager that thread waits for ever", not alone.is_over)
    count = alone.words["other_report"][1]
    story.claim("and the other one goes on all the same", count > 150, count)
    steps = calm.steps[PAGER] - FIRST
    points = [FIRST + step for step in spread(steps, steps if everywhere else POINTS)]
    story.tell(f"the pager makes {calm.steps[PAGER]} steps; now it crashes at {len(points)} of them")
    runs = [_play(story.seed, [crash(PAGER, step)]) for step in points]
    story.claim("the pager died in each run", all(run.activated for run in runs), f"{len(runs)} runs")
    story.claim("the reader comes to its end all the same", all(run.is_over for run in runs))
    story.trace_hash = calm.run.trace_hash


def _play(
    seed: int, faults: Sequence[Fault] = (), *, programs: dict[str, str] | None = None, longest_us: int = 300_000
) -> Played:
    reports = REPORTS if not faults else {"reader_report": 12}
    return play(
        "mach_memory", "reader_report", reports, faults=faults, seed=seed, programs=programs, longest_us=longest_us
    )
