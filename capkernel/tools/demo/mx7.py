"""MX-7, beyond MINIX: the supervisor itself is killed, at any of its steps, while it recovers the disk's driver."""

from capkernel.tools.demo.mx1 import judge
from capkernel.tools.demo.storage import DRIVER, SUPERVISOR, Outcome, play, spread, unnoticed
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind

TITLE = "the supervisor dies while it recovers a driver; its guardian starts it anew, and it goes on"
POINTS = 6


def story(story: Story, *, everywhere: bool = False) -> None:
    """The driver crashes at one point, the supervisor at each of its own, in a run of its own."""
    calm = play(seed=story.seed)
    crash = Fault(DRIVER, calm.steps[DRIVER] // 2, Kind.CRASH)
    recovered = play((crash,), seed=story.seed)
    steps = recovered.steps[SUPERVISOR]
    story.tell(f"the supervisor makes {steps} steps in a run with a crash of the driver")
    outcomes: dict[str, Outcome] = {}
    for kind in (Kind.CRASH, Kind.HANG):
        for step in spread(steps, steps if everywhere else POINTS):
            faults = crash, Fault(SUPERVISOR, step, kind)
            outcomes[f"supervisor step {step} ({kind})"] = play(faults, seed=story.seed)
    struck = {
        where: outcome for where, outcome in outcomes.items() if any(f.pd == SUPERVISOR for f in outcome.activated)
    }
    claims = unnoticed(calm) | {
        "the supervisor lives again": lambda outcome: len(outcome.supervisor.began) > 1,
        "so does the driver": lambda outcome: len(outcome.driver.began) > 1,
    }
    judge(story, struck, claims)
    story.trace_hash = calm.trace_hash
