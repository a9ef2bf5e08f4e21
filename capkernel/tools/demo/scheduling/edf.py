"""Earliest deadline first: no deadline is missed where fixed priorities miss some; an overrun harms its own."""

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story

TITLE = "earliest deadline first: every deadline at 93 % load; an overrun is its own task's affair"
TASKS = {"short": 5_000, "long": 7_000}
"""Periods in microseconds."""
TIME_US = 600_000


def story(story: Story, *, everywhere: bool = False) -> None:
    """Three runs; with ``everywhere`` for each of 10 seeds, which shift the clock."""
    for seed in range(story.seed, story.seed + (10 if everywhere else 1)):
        _tell(story, seed)


def _tell(story: Story, seed: int) -> None:
    edf, story.trace_hash = _play(story, "earliest deadline first", seed, {})
    done = all(edf[name][0] >= TIME_US // period - 1 for name, period in TASKS.items())
    story.claim(
        "every job of every period was done", done, ", ".join(f"{name} {jobs[0]}" for name, jobs in edf.items())
    )
    story.claim("and none was late", not any(jobs[1] for jobs in edf.values()))
    fixed, _ = _play(story, "fixed priorities", seed, {"scheduler": "rate_scheduler.elf"})
    story.claim("with fixed priorities the longer task is late", fixed["long"][1] > 0, f"{fixed['long'][1]} times")
    over, _ = _play(story, "the longer needs twice what it said", seed, {"long": "scheduled_periodic_greedy.elf"})
    story.claim("overload: who kept to its budget is never late", over["short"][1] == 0 and over["short"][0] > 0)
    story.claim("who did not is due later, and gets no more", 0 < over["long"][0] < edf["long"][0], over["long"][0])


def _play(story: Story, what: str, seed: int, programs: dict[str, str]) -> tuple[dict[str, tuple[int, ...]], str]:
    """Of each task: jobs, those that were late, by how much the worst; and the hash of the trace."""
    stage = Stage("edf", seed=seed, programs=programs)
    trace_hash = stage.run(time_us=TIME_US).trace_hash
    found = {name: stage.words(f"report_{name}", 3) for name in TASKS}
    stage.close()
    shown = ", ".join(f"{name}: {jobs} jobs, {late} late" for name, (jobs, late, _) in found.items())
    story.tell(f"{what}: {shown}")
    return found, trace_hash
