"""MX-1: the disk's driver crashes in mid-write, wherever that is, and nobody notices but the supervisor."""

from capkernel.tools.demo.storage import DRIVER, Claims, Outcome, play, spread, unnoticed
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind

TITLE = "a disk driver dies in mid-write; its client sees no error"
POINTS, FEW = 8, 3
"""How many points of each kind are tried unless all are asked for, and when the story is to be brief."""


def story(story: Story, *, everywhere: bool = False) -> None:
    """A crash at each point, in a run of its own."""
    calm = play(seed=story.seed)
    story.tell(f"without a crash the driver makes {calm.steps[DRIVER]} steps, the disk {calm.device_steps}")
    story.claim("without a crash all is written and read", calm.done and not calm.errors and not calm.wrong)
    outcomes: dict[str, Outcome] = {}
    points = FEW if story.is_brief else POINTS
    for step in spread(calm.steps[DRIVER], calm.steps[DRIVER] if everywhere else points):
        outcomes[f"driver step {step}"] = play((Fault(DRIVER, step, Kind.CRASH),), seed=story.seed)
    for step in spread(calm.device_steps, calm.device_steps if everywhere else points):
        outcomes[f"device step {step}"] = play(device_step=step, seed=story.seed)
    judge(story, outcomes, unnoticed(calm) | {"the driver lives again": lambda outcome: len(outcome.driver.began) > 1})
    story.trace_hash = calm.trace_hash


def judge(story: Story, outcomes: dict[str, Outcome], claims: Claims) -> None:
    """Claim each of the claims for all runs in which something happened."""
    struck = {where: outcome for where, outcome in outcomes.items() if outcome.activated}
    story.tell(f"{len(struck)} runs in which something went wrong, each at another point")
    for text, holds in claims.items():
        wrong = [where for where, outcome in struck.items() if not holds(outcome)]
        seen = f"{len(struck)} runs" if not wrong else f"not in {len(wrong)}: {', '.join(wrong[:5])}"
        story.claim(text, bool(struck) and not wrong, seen)
    recoveries = sorted(gap for outcome in struck.values() for gap in outcome.driver.gaps_us)
    story.figures |= {
        "runs with a fault": len(struck), "points without effect": len(outcomes) - len(struck),
        "median recovery, µs of virtual time": recoveries[len(recoveries) // 2] if recoveries else None,
        "longest recovery, µs": recoveries[-1] if recoveries else None,
    }  # fmt: skip
