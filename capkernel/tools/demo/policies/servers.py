"""A Chinese wall as a server of its own, asked by a broker with rules of its own; either dies, and neither forgets."""

from attrs import frozen

from capkernel.tools.demo.broker import UNRULED
from capkernel.tools.demo.stage import Stage, Watcher, nobody
from capkernel.tools.demo.story import Story
from capkernel.tools.demo.volumes import spread_from
from capkernel.tools.inject import Fault, Kind
from hwmodel.virtio import virtio_rng

TITLE = "a policy that is a server of its own: it vetoes, is silent, dies and comes back, and nothing passes meanwhile"
COUNCIL = "council"
"""The variant in which the broker asks the policy server."""
CONSULTANTS = ("alice", "bob", "mallory")
LONGEST_US = 2_000_000
LATENCY_US, REBUILT_US = 1_000, 15_000
"""What is promised: for so long something may still work when a change of the policy server's rules was answered; and
if the broker is just being started anew.
"""
FIRST, SAMPLE, ALL = 30, 1, 30


@frozen
class Consultant:
    """What an attacker reports."""

    done: int
    tries: int
    served: int
    crossed: int
    last_us: int


@frozen
class Operator:
    """What the operator reports."""

    done: int
    asked_us: int
    answered_us: int
    refused: int
    malformed: int
    left: int


@frozen
class Outcome:
    """What came of a run."""

    consultants: tuple[Consultant, ...]
    operator: Operator
    activated: int
    steps: dict[str, int]
    trace_hash: str

    @property
    def is_over(self) -> bool:
        """Whether all came to their end."""
        return bool(self.operator.done) and all(each.done for each in self.consultants)

    @property
    def crossed(self) -> int:
        """How often somebody saw what is behind the wall."""
        return sum(each.crossed for each in self.consultants)

    @property
    def last_us(self) -> int:
        """When something worked for the last time."""
        return max(each.last_us for each in self.consultants)


def play(faults: tuple[Fault, ...] = (), seed: int = 0, variant: str = COUNCIL, watch: Watcher = nobody) -> Outcome:
    """Run the system once. ``watch`` is called when it is ready to run."""
    programs = dict.fromkeys(CONSULTANTS, "consultant.elf") | {"operator": "wall_operator.elf"}
    stage = Stage(
        "policies", faults=faults, seed=seed, variant=variant, devices={"virtio1": virtio_rng(seed=seed + 1)},
        programs=programs,
    )  # fmt: skip
    watch(stage)
    reports = [f"report_{name}" for name in (*CONSULTANTS, "operator")]
    stage.run_until(lambda: stage.have_reported(*reports), LONGEST_US)
    steps = dict(stage.injector.steps)
    run = stage.run(time_us=100)
    outcome = Outcome(
        tuple(stage.report(Consultant, each) for each in reports[:-1]), stage.report(Operator, reports[-1]),
        len(stage.injector.activated), steps, run.trace_hash,
    )  # fmt: skip
    stage.close()
    return outcome


def story(story: Story, *, everywhere: bool = False) -> None:
    """A calm run; runs in which the policy server or the broker goes wrong; one without the policy server."""
    calm = play(seed=story.seed)
    served, tries = [sum(getattr(each, what) for each in calm.consultants) for what in ("served", "tries")]
    story.claim("each was served by one company", all(each.served for each in calm.consultants), f"{served} looks")
    story.claim("and by no other, whatever it tried", calm.is_over and not calm.crossed, f"{tries} tries")
    operator = calm.operator
    story.claim("rules that cannot be were refused", bool(operator.malformed))
    story.claim("new rules of the policy server ended all grants", bool(operator.refused) and not operator.left)
    late = calm.last_us - operator.answered_us
    story.claim(f"nothing worked {LATENCY_US} us after the change was answered", late <= LATENCY_US, f"{late} us")
    _wrongs(story, calm, ALL if everywhere else SAMPLE)
    control = play(seed=story.seed, variant=UNRULED)
    story.claim("where nobody asks the policy server the same attackers see it all", bool(control.crossed))
    story.figures["last use that worked, against the answered change of rules"] = f"{late} us"
    story.trace_hash = calm.trace_hash


def _wrongs(story: Story, calm: Outcome, points: int) -> None:
    """The policy server dies, hangs and talks nonsense while all this goes on; the broker dies."""
    wrongs = [("wall", Kind.CRASH), ("wall", Kind.HANG), ("wall", Kind.WRONG_ANSWER), ("broker", Kind.CRASH)]
    played = [
        (f"{name} {kind} {step}", play((Fault(name, step, kind, or_later=kind is Kind.WRONG_ANSWER),), story.seed))
        for name, kind in wrongs
        for step in spread_from(FIRST, calm.steps[name], points)
    ]
    happened = [place for place, outcome in played if outcome.activated]
    story.claim("the policy server died, hung and talked nonsense; the broker died", len(happened) == len(played))
    stuck = [place for place, outcome in played if not outcome.is_over]
    story.claim("each time all went on, and came to their end", not stuck, stuck or f"{len(played)} runs")
    crossed = [place for place, outcome in played if outcome.crossed]
    story.claim("each time nobody saw what is behind the wall", not crossed, crossed or "")
    late = [place for place, outcome in played if outcome.last_us > outcome.operator.answered_us + REBUILT_US]
    story.claim("each time the change of rules held", not late, late or "")
