"""QN-7: adaptive partitions of 70, 20 and 10 per cent: guaranteed under overload, given on while unwanted."""

from collections.abc import Mapping, Sequence

from capkernel.tools.demo.scheduling.shares import extremes, shown, windows
from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story

TITLE = "adaptive partitions 70/20/10: within 1 % under overload, idle time is given on, a critical overrun is told"
SHARES = {"hog_a": 70, "hog_b": 20, "hog_c": 10}
MEMBERS = tuple(SHARES)
WINDOW_US, EVERY_US, SETTLING_US = 100_000, 10_000, 300_000
COUNT = 30
TOLERANCE = 1.0
RESOLUTION = 0.1
"""Per cent of a window: members count steps of 50 µs, at either end of it."""
OVERHEAD = 2.0
"""Per cent that scheduling itself may take."""
CRITICAL = 5
"""Per cent of a window: the critical budget of the third partition."""
WORK_US, SLACK_US = 3_000, 100
IDLE, GREEDY = "scheduled_idle.elf", "scheduled_urgent_greedy.elf"


def story(story: Story, *, everywhere: bool = False) -> None:
    """Four runs; with ``everywhere`` for each of 10 seeds, which shift the clock."""
    for seed in range(story.seed, story.seed + (10 if everywhere else 1)):
        _tell(story, seed)


def _tell(story: Story, seed: int) -> None:
    stage = Stage("partitions", seed=seed, programs={"urgent": IDLE})
    stage.run(time_us=SETTLING_US)
    each = windows(stage, MEMBERS, window_us=WINDOW_US, every_us=EVERY_US, count=COUNT)
    all_busy = extremes(each, MEMBERS)
    story.trace_hash = stage.run(time_us=1).trace_hash
    stage.close()
    story.tell(f"all busy, any window of 100 ms: {shown(all_busy)}")
    strictly = max(abs(seen - SHARES[name]) for name, both in all_busy.items() for seen in both)
    story.figures["off a share of the whole window, scheduling included"] = f"{strictly:.2f} %"
    off = max(_off(window) for window in each)
    is_fair = off <= TOLERANCE + RESOLUTION
    story.claim("under overload each gets its share within 1 % of any window", is_fair, f"{off:.2f} % off")
    story.claim("and scheduling takes little of it", strictly <= TOLERANCE + OVERHEAD, f"{strictly:.2f} % with it")
    idle_b, _, _, _ = _play(seed, {"urgent": IDLE, "hog_b": IDLE})
    story.tell(f"the second idle: {shown(idle_b)}")
    total = idle_b["hog_a"][0] + idle_b["hog_c"][0]
    story.claim("what a partition does not want is given on", total >= 100 - OVERHEAD, f"{total:.1f} % in use")
    at_least = all(idle_b[name][0] >= SHARES[name] - TOLERANCE for name in ("hog_a", "hog_c"))
    story.claim("to the highest priority, and nobody gets less than its share", at_least and idle_b["hog_c"][0] >= 29)
    modest, times, told, _ = _play(seed, {})
    story.tell(f"a critical member that works {WORK_US} µs in 110 ms: {shown(modest)}")
    story.claim("a critical member is not delayed", max(times) <= WORK_US + SLACK_US, f"at most {max(times)} µs")
    story.claim("within its critical budget nobody is told", told == 0)
    greedy, times, told, _ = _play(seed, {"urgent": GREEDY})
    story.tell(f"one that works ten times as long: {shown(greedy)}")
    story.claim("one that exceeds it is told of as bankrupt", told > 0, f"{told} times in {len(times)} overruns")
    kept = all(greedy[name][0] >= SHARES[name] - CRITICAL - TOLERANCE for name in ("hog_a", "hog_b"))
    story.claim("and takes from the others no more than the critical budget", kept)
    story.claim(
        "after that it works at its partition's share", max(times) > 10 * WORK_US + SLACK_US, f"{max(times)} µs"
    )


def _off(window: Sequence[float]) -> float:
    """By how much of the time that members had, in per cent, any of them is off its share of it."""
    return max(abs(100 * got / sum(window) - SHARES[name]) for name, got in zip(MEMBERS, window, strict=True))


def _play(
    seed: int, programs: Mapping[str, str]
) -> tuple[Mapping[str, tuple[float, float]], tuple[int, ...], int, str]:
    """What each got; how long the critical member took each time; how often bankruptcy was told; the trace's hash."""
    stage = Stage("partitions", seed=seed, programs=programs)
    stage.run(time_us=SETTLING_US)
    found = extremes(windows(stage, MEMBERS, window_us=WINDOW_US, every_us=EVERY_US, count=COUNT), MEMBERS)
    count = stage.words("report_urgent", 1)[0]
    times = stage.words("report_urgent", 1 + count)[1:]
    told = stage.words("report_alarm", 1)[0]
    trace_hash = stage.run(time_us=1).trace_hash
    stage.close()
    return found, times or (0,), told, trace_hash
