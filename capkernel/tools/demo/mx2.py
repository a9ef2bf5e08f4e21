"""MX-2: the driver computes for ever; it is killed when its last sign of life is older than two beats."""

from capkernel.tools.demo.mx1 import judge
from capkernel.tools.demo.storage import BEAT_US, DRIVER, Outcome, play, spread, unnoticed
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind

TITLE = "a disk driver hangs; the missing heartbeat is noticed, nobody misses a deadline"
POINTS = 6
PATIENCE = 2
"""Beats, as in the manifest."""


def story(story: Story, *, everywhere: bool = False) -> None:
    """The driver hangs at each point, in a run of its own."""
    calm = play(seed=story.seed)
    count = calm.steps[DRIVER]
    outcomes = {
        f"driver step {step}": play((Fault(DRIVER, step, Kind.HANG),), seed=story.seed)
        for step in spread(count, count if everywhere else POINTS)
    }
    claims = unnoticed(calm) | {
        "it was killed, and the reason is no-heartbeat": lambda o: f"{DRIVER} 1: no-heartbeat" in o.output,
        "not before two beats without a sign of life, nor after four": _in_time,
        "the driver lives again": lambda outcome: len(outcome.driver.began) == 2,
    }
    judge(story, outcomes, claims)
    delays = sorted(_silence_us(outcome) for outcome in outcomes.values() if outcome.activated)
    story.figures["longest time from the hang to the kill, beats"] = delays[-1] / BEAT_US if delays else None
    story.trace_hash = calm.trace_hash


def _silence_us(outcome: Outcome) -> float:
    return (outcome.driver.ended[0] - outcome.activated_at[0]) / 10


def _in_time(outcome: Outcome) -> bool:
    return PATIENCE * BEAT_US - BEAT_US <= _silence_us(outcome) <= (PATIENCE + 2) * BEAT_US
