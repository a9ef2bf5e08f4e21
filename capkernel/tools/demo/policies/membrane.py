"""A membrane is cut, and with it all that was obtained through it; a caretaker is not enough."""

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.demo.volumes import spread_from
from capkernel.tools.inject import Fault, Kind

TITLE = "a library is lent through a membrane, and taken back with all that was opened, derived and kept"
CARETAKER = "caretaker"
"""The variant in which nothing that passes is wrapped."""
LONGEST_US = 400_000
FIRST, SAMPLE, ALL = 20, 1, 25
MORTALS = ("membrane", "courier0", "library")


@frozen
class Borrower:
    """What the borrower reports."""

    done: int
    before: int
    last_us: int
    tries: int
    after: int


@frozen
class Onlooker:
    """The onlooker's report."""

    done: int
    looked: int
    tries: int
    changed: int


@frozen
class Landlord:
    """The landlord's."""

    done: int
    asked_us: int
    answered_us: int
    objects: int
    unknown: int


@frozen
class Outcome:
    """What came of a run."""

    borrower: Borrower
    onlooker: Onlooker
    landlord: Landlord
    activated: int
    steps: dict[str, int]
    trace_hash: str

    @property
    def is_over(self) -> bool:
        """Whether all came to their end."""
        return bool(self.borrower.done and self.onlooker.done and self.landlord.done)


def play(faults: tuple[Fault, ...] = (), seed: int = 0, variant: str = "") -> Outcome:
    """Run the system once."""
    stage = Stage("membrane", faults=faults, seed=seed, variant=variant)
    reports = ("report_borrower", "report_onlooker", "report_landlord")
    stage.run_until(lambda: stage.have_reported(*reports), LONGEST_US)
    steps = dict(stage.injector.steps)
    run = stage.run(time_us=100)
    outcome = Outcome(
        stage.report(Borrower, reports[0]), stage.report(Onlooker, reports[1]),
        stage.report(Landlord, reports[2]), len(stage.injector.activated), steps, run.trace_hash,
    )  # fmt: skip
    stage.close()
    return outcome


def story(story: Story, *, everywhere: bool = False) -> None:
    """A calm run; runs in which somebody dies; one with caretakers."""
    calm = play(seed=story.seed)
    borrower, onlooker, landlord = calm.borrower, calm.onlooker, calm.landlord
    story.claim("the borrower used what it was lent", bool(borrower.before), f"{borrower.before} caps through it")
    story.claim("the membrane led through many objects", landlord.objects > 1, f"{landlord.objects} when it was cut")
    story.claim("after the cut nothing worked", calm.is_over and not borrower.after, f"{borrower.tries} tries")
    late = borrower.last_us - landlord.answered_us
    story.claim("and nothing was begun that worked once the cut was answered", late <= 0, f"{late} us")
    story.claim(
        "the onlooker saw files and changed none, though it opened them to write",
        bool(onlooker.looked) and not onlooker.changed, f"{onlooker.looked} looks, {onlooker.tries} tries",
    )  # fmt: skip
    story.claim("there is no membrane that was not put up", bool(landlord.unknown))
    played = [
        (f"{name} {step}", play((Fault(name, step, Kind.CRASH),), story.seed))
        for name in MORTALS
        for step in spread_from(FIRST, calm.steps[name], ALL if everywhere else SAMPLE)
    ]
    survived = [place for place, outcome in played if not outcome.activated]
    story.claim(f"each of {', '.join(MORTALS)} died", not survived, survived or f"at {len(played)} points in all")
    loose = [
        place
        for place, outcome in played
        if not outcome.is_over or outcome.borrower.after or outcome.onlooker.changed
        or outcome.borrower.last_us > outcome.landlord.answered_us
    ]  # fmt: skip
    story.claim("each time the cut held, and nothing was changed", not loose, loose or "")
    control = play(seed=story.seed, variant=CARETAKER)
    seen = control.borrower
    story.claim("with a caretaker, what was obtained survives it", bool(seen.done and seen.after), f"{seen.after} uses")
    story.claim("and who may look writes", bool(control.onlooker.changed))
    story.figures["cut"] = f"{landlord.answered_us - landlord.asked_us} us for {landlord.objects} objects"
    story.trace_hash = calm.trace_hash
