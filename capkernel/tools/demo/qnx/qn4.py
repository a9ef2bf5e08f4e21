"""QN-4: a server works at the priority of whom it serves, so a thread of medium priority delays nobody above it."""

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story

TITLE = "a high client calls a low server while a medium thread hogs the processor"
COUNT = 40
WORK_US, SLACK_US = 3_000, 100
HOG_US = 30_000
LONGEST_US = 3_000_000


def story(story: Story, *, everywhere: bool = False) -> None:
    """Three servers, one run each; with ``everywhere`` for each of 20 seeds, which shift the clock."""
    for seed in range(story.seed, story.seed + (20 if everywhere else 1)):
        _tell(story, seed)


def _tell(story: Story, seed: int) -> None:
    inherits, story.trace_hash = _play(seed, "qnx_worker.elf")
    unboosted, _ = _play(seed, "qnx_worker_unboosted.elf")
    fixed, _ = _play(seed, "qnx_worker_fixed.elf")
    story.tell(f"the server works {WORK_US} µs a request; the hog computes {HOG_US} µs in 40,000; µs until the answer:")
    for name, seen in (("inherits", inherits), ("only when it receives", unboosted), ("fixed", fixed)):
        story.tell(f"{name:22} least {min(seen):6}, most {max(seen):6}")
        story.figures[name] = {"least": min(seen), "most": max(seen)}
    story.claim("the high client is always answered", all(len(seen) == COUNT for seen in (inherits, unboosted, fixed)))
    free = [seen for seen in inherits if seen <= WORK_US + SLACK_US]
    story.claim("a server that waits: its work and a constant", len(free) > COUNT // 2, f"{len(free)} of {COUNT}")
    most = max(inherits)
    is_bounded = WORK_US + SLACK_US < most <= 2 * WORK_US + SLACK_US
    story.claim("one that is busy: the rest of what it does for the low client, too", is_bounded, f"at most {most} µs")
    late = max(unboosted)
    story.claim("without the booster a busy server waits for the hog", late > 2 * WORK_US + SLACK_US, f"{late} µs")
    late = max(fixed)
    story.claim("with a fixed priority the high client waits for the hog", late > HOG_US // 2, f"{late} µs")


def _play(seed: int, program: str) -> tuple[tuple[int, ...], str]:
    """How long each answer took, in µs; and the hash of the trace."""
    stage = Stage("qnx_priority", seed=seed, programs={"server": program})
    stage.run_until(lambda: stage.words("report_high", 1)[0] == COUNT, LONGEST_US)
    count = stage.words("report_high", 1)[0]
    seen = stage.words("report_high", 1 + count)[1:]
    trace_hash = stage.run(time_us=1).trace_hash
    stage.close()
    return seen, trace_hash
