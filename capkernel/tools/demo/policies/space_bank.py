"""Banks of memory below banks: divided, dissolved and closed while their server dies, and nothing is lost or made."""

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.demo.volumes import spread_from
from capkernel.tools.inject import Fault, Kind

TITLE = "banks of memory are divided, dissolved and closed while their server dies; not a page is lost, made or kept"
GENEROUS = "generous"
"""The variant in which the embezzler was given more than it is to have."""
LONGEST_US = 1_000_000
FIRST, SAMPLE, ALL = 300, 3, 60
"""The first step at which the server dies: then it has divided its memory."""
PAGE, OWN_PAGES, BANK_PAGES = 4096, 16, 32


@frozen
class Banker:
    """What the banker reports."""

    done: int
    checks: int
    wrong: int
    failed: int
    left: int


@frozen
class Embezzler:
    """The embezzler's report."""

    done: int
    tries: int
    gained: int
    kept: int
    most: int
    held: int


@frozen
class Outcome:
    """What came of a run."""

    banker: Banker
    embezzler: Embezzler
    activated: int
    steps: int
    trace_hash: str


def play(faults: tuple[Fault, ...] = (), seed: int = 0, variant: str = "") -> Outcome:
    """Run the system once."""
    stage = Stage("bank", faults=faults, seed=seed, variant=variant)
    reports = ("report_banker", "report_embezzler")
    stage.run_until(lambda: stage.have_reported(*reports), LONGEST_US)
    steps = stage.injector.steps["memory"]
    run = stage.run(time_us=100)
    outcome = Outcome(
        stage.report(Banker, reports[0]), stage.report(Embezzler, reports[1]),
        len(stage.injector.activated), steps, run.trace_hash,
    )  # fmt: skip
    stage.close()
    return outcome


def story(story: Story, *, everywhere: bool = False) -> None:
    """A calm run; runs in which the server dies; one with an embezzler that has more."""
    calm = play(seed=story.seed)
    banker, thief = calm.banker, calm.embezzler
    sums = bool(banker.done) and not banker.wrong and not banker.failed
    story.claim("used, given and left were the quota after every step", sums, f"{banker.checks} times")
    story.claim("in the end everything was there again", banker.left == BANK_PAGES * PAGE, f"{banker.left} bytes")
    story.claim("the embezzler got nothing that was not its own", bool(thief.done) and not thief.gained, thief.tries)
    story.claim("it had no more than its quota at a time", 0 < thief.most <= OWN_PAGES, f"{thief.most} pages")
    story.claim("what it had worked until it was returned, and then no more", bool(thief.held) and not thief.kept)
    played = [
        (step, play((Fault("memory", step, Kind.CRASH),), story.seed))
        for step in spread_from(FIRST, calm.steps, ALL if everywhere else SAMPLE)
    ]
    story.claim("the server died", all(outcome.activated for _, outcome in played), f"at {len(played)} points")
    lost = [
        step
        for step, outcome in played
        if outcome.banker.left != banker.left or outcome.banker.wrong or not outcome.embezzler.done
    ]  # fmt: skip
    story.claim("each time not a page was lost or made", not lost, lost or "")
    gained = [step for step, outcome in played if outcome.embezzler.gained or outcome.embezzler.kept]
    story.claim("and the embezzler came to nothing", not gained, gained or "")
    generous = play(seed=story.seed, variant=GENEROUS).embezzler
    story.claim("where its quota is larger the same embezzler gets more", bool(generous.gained), generous.gained)
    story.trace_hash = calm.trace_hash
