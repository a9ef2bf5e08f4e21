"""MX-3: the driver crashes at every start; it is started again after longer and longer pauses, at nobody's expense."""

from capkernel.tools.demo.storage import BEAT_US, DRIVER, play, unnoticed
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind

TITLE = "a driver that crashes at every start is started after 0, 2, 4, 8, 16, 30, 30 beats"
PAUSES = (0, 2, 4, 8, 16, 30, 30)


def story(story: Story, *, everywhere: bool = False) -> None:
    """Seven lives end at their first step (with ``everywhere`` at their second to tenth, too); the eighth goes on."""
    calm = play(seed=story.seed, variant="unasked")
    for step in range(1, 11 if everywhere else 2):
        faults = tuple(Fault(DRIVER, step, Kind.CRASH, life=life) for life in range(1, len(PAUSES) + 1))
        outcome = play(faults, seed=story.seed, variant="unasked")
        beats = [int(gap // BEAT_US) + bool(gap > BEAT_US) for gap in outcome.driver.gaps_us]
        story.claim(f"pauses of {', '.join(map(str, PAUSES))} beats (crash at step {step})", beats == [*PAUSES], beats)
        for text, holds in unnoticed(calm).items():
            story.claim(f"{text} (step {step})" if everywhere else text, holds(outcome))
    story.trace_hash = calm.trace_hash
