"""A broker hands out caps as rules say, and takes them back: by time, by a change of the rules, and when it died."""

from attrs import frozen

from capkernel.tools.demo.stage import Stage, Watcher, nobody
from capkernel.tools.demo.story import Story
from capkernel.tools.demo.volumes import spread_from
from capkernel.tools.inject import Fault, Kind
from hwmodel.virtio import virtio_rng

TITLE = "a broker hands out caps as rules say, and takes them back: by time, by new rules, and after it died"
UNRULED = "unruled"
"""The variant in which the rules allow everything, and the broker takes the attacker for alice."""
LONGEST_US, SETTLE_US = 1_000_000, 30_000
FIRST, SAMPLE, ALL = 30, 1, 30
"""The first step at which somebody dies, and at how many each of them does."""
LATENCY_US, REBUILT_US, CHANGE_US = 1_000, 15_000, 20_000
"""What is promised: for so long something may still work after its time, also if the broker or the timer is just being
started anew; so long takes a change of the rules.
"""
MORTALS = ("broker", "files", "audit", "timer")


@frozen
class Author:
    """What alice's program reports."""

    done: int
    errors: int
    until_us: int
    last_us: int
    written: int
    refused: int


@frozen
class Colleague:
    """Bob's."""

    done: int
    refused: int
    reasons: int
    last_us: int
    readings: int
    again: int


@frozen
class Operator:
    """The operator's."""

    done: int
    asked_us: int
    answered_us: int
    ended: int
    malformed: int


@frozen
class Grasper:
    """Mallory's."""

    done: int
    tries: int
    asked: int
    taken: int
    grown: int
    kept: int
    ruled: int
    flooded: int


@frozen
class Outcome:
    """What came of a run."""

    author: Author
    colleague: Colleague
    operator: Operator
    grasper: Grasper
    activated: int
    steps: dict[str, int]
    trace_hash: str

    @property
    def is_over(self) -> bool:
        """Whether all came to their end."""
        return bool(self.author.done and self.colleague.done and self.operator.done and self.grasper.done)


def play(faults: tuple[Fault, ...] = (), seed: int = 0, variant: str = "", watch: Watcher = nobody) -> Outcome:
    """Run the system once. ``watch`` is called when it is ready to run."""
    stage = Stage("policies", faults=faults, seed=seed, variant=variant, devices={"virtio1": virtio_rng(seed=seed + 1)})
    watch(stage)
    reports = ("report_alice", "report_bob", "report_operator", "report_mallory")
    waited_for = reports[:1] if variant else reports
    stage.run_until(lambda: stage.have_reported(*waited_for), LONGEST_US, 2_000)
    steps = dict(stage.injector.steps)
    run = stage.run(time_us=SETTLE_US if variant else 100)
    outcome = Outcome(
        stage.report(Author, "report_alice"), stage.report(Colleague, "report_bob"),
        stage.report(Operator, "report_operator"), stage.report(Grasper, "report_mallory"),
        len(stage.injector.activated), steps, run.trace_hash,
    )  # fmt: skip
    stage.close()
    return outcome


def story(story: Story, *, everywhere: bool = False) -> None:
    """A calm run; runs in which somebody dies; the same attacker where the rules allow everything."""
    calm = play(seed=story.seed)
    alice, bob, operator, mallory = calm.author, calm.colleague, calm.operator, calm.grasper
    story.tell(f"alice wrote {alice.written} times; her lease ended at {alice.until_us} us")
    story.claim("alice was granted the plans, and nothing of hers failed", bool(alice.written) and not alice.errors)
    story.claim("bob was refused them, with reasons", bool(bob.refused and bob.reasons), f"{bob.reasons} reasons")
    story.claim("alice could not hand them to bob either", alice.refused == 1)
    late = alice.last_us - alice.until_us
    story.claim(f"nothing worked {LATENCY_US} us after the end of the lease", late <= LATENCY_US, f"{late} us")
    story.claim("rules that cannot be were refused, and nothing changed", bool(operator.malformed))
    story.claim("new rules ended bob's grant, and he was given none again", operator.ended >= 1 and bool(bob.again))
    story.claim(
        "nothing worked under the old rules once the change was answered", bob.last_us <= operator.answered_us,
        f"{operator.answered_us - operator.asked_us} us",
    )  # fmt: skip
    story.claim("the change took no longer than is promised", operator.answered_us - operator.asked_us <= CHANGE_US)
    story.claim("the attacker came to nothing", calm.is_over and not _ways_in(mallory), f"{mallory.tries} tries")
    _deaths(story, calm, ALL if everywhere else SAMPLE)
    control = play(seed=story.seed, variant=UNRULED).grasper
    story.claim(
        "where the rules allow everything the same attacker gets it",
        bool(control.done and control.asked and control.taken and control.kept), _ways_in(control),
    )  # fmt: skip
    story.figures["last use that worked, against the end of its lease"] = f"{late} us"
    story.figures["change of the rules"] = f"{operator.answered_us - operator.asked_us} us"
    story.trace_hash = calm.trace_hash


def _deaths(story: Story, calm: Outcome, points: int) -> None:
    """The broker dies while all this goes on, a service, the trail, the timer."""
    played = [
        (f"{name} {step}", play((Fault(name, step, Kind.CRASH),), story.seed))
        for name in MORTALS
        for step in spread_from(FIRST, calm.steps[name], points)
    ]
    survived = [place for place, outcome in played if not outcome.activated]
    story.claim(f"each of {', '.join(MORTALS)} died", not survived, survived or f"at {len(played)} points in all")
    stuck = [place for place, outcome in played if not outcome.is_over]
    story.claim("each time all went on, and came to their end", not stuck, stuck or "")
    loose = [
        place
        for place, outcome in played
        if _ways_in(outcome.grasper) or outcome.author.last_us > outcome.author.until_us + REBUILT_US
        or outcome.colleague.last_us > outcome.operator.answered_us
    ]  # fmt: skip
    story.claim("each time leases, rules and refusals held as before", not loose, loose or "")


def _ways_in(seen: Grasper) -> int:
    return seen.asked + seen.taken + seen.grown + seen.kept + seen.ruled
