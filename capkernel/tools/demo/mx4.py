"""MX-4: a policy script, which holds no device, decides that after the third crash a RAM disk takes over."""

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.storage import DRIVER, play
from capkernel.tools.demo.story import Story
from capkernel.tools.explain.census import holdings
from capkernel.tools.inject import Fault, Kind

TITLE = "after three crashes a script without any device cap falls back to a RAM disk and raises an alert"
CRASHES = 3
STEPS = (40, 41, 42)


def story(story: Story, *, everywhere: bool = False) -> None:
    """Three crashes at one step of each life, for several steps."""
    for step in range(20, 120, 5) if everywhere else STEPS:
        faults = tuple(Fault(DRIVER, step, Kind.CRASH, life=life) for life in range(1, CRASHES + 1))
        outcome = play(faults, seed=story.seed)
        alert, denied, tried = outcome.script
        where = f"crashes at step {step} of each life"
        story.claim("the fourth life runs the RAM disk, and there was an alert", alert == 1, where)
        story.claim("the file server goes on with it", outcome.done and outcome.goes_on, where)
        story.claim("what the script tried beyond its rights was refused", tried > 0 and denied == tried, f"{denied}")
        story.claim("nobody missed a deadline, nobody else stopped", not outcome.pulse_missed and not outcome.faults)
    stage = Stage("storage", seed=story.seed)
    stage.booted.boot()
    kinds = sorted({type(held.slot.cap).__name__ for held in holdings(stage.system.threads["script"])})
    stage.close()
    forbidden = {"FrameCap", "IRQHandlerCap", "IOSpaceCap", "UntypedCap", "IRQControlCap"}
    story.claim("the script's CSpace has no cap to memory, interrupts or devices", not forbidden & set(kinds), kinds)
