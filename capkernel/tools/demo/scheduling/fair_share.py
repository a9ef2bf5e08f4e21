"""Fair share: members get time in proportion to their weights, and who has slept is not paid for it."""

from capkernel.tools.demo.scheduling.shares import counted, extremes, shown, windows
from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story

TITLE = "fair share: time in proportion to weights, with a bounded lag; sleeping earns nothing"
WEIGHTS = {"one": 1, "two": 2, "five": 5}
MEMBERS = tuple(WEIGHTS)
LEASE_US, SETTLING_US = 1_000, 50_000
WINDOW_US, EVERY_US, COUNT = 80_000, 10_000, 40
STEP_US = 50
SLEEPER_MOST = 20.0
"""Per cent: its weight is 2 of 10."""
TOLERANCE = 1.0


def story(story: Story, *, everywhere: bool = False) -> None:
    """Two runs; with ``everywhere`` for each of 10 seeds, which shift the clock."""
    for seed in range(story.seed, story.seed + (10 if everywhere else 1)):
        _tell(story, seed)


def _tell(story: Story, seed: int) -> None:
    stage = Stage("fair_share", seed=seed, programs={"sleeper": "scheduled_idle.elf"})
    stage.run(time_us=SETTLING_US)
    start, lag = counted(stage, MEMBERS), 0.0
    for _ in range(200):
        stage.run(time_us=997)
        got = dict(zip(MEMBERS, (a - b for a, b in zip(counted(stage, MEMBERS), start, strict=True)), strict=True))
        normal = [got[name] / weight for name, weight in WEIGHTS.items()]
        lag = max(lag, max(normal) - min(normal))
    story.trace_hash = stage.run(time_us=1).trace_hash
    stage.close()
    # A lease of each at either end of what is looked at, and a step that is not counted yet.
    bound = 2 * (LEASE_US / min(WEIGHTS.values()) + LEASE_US / sorted(WEIGHTS.values())[1]) + 2 * STEP_US
    story.claim(
        "time by weight never differs by more than a few leases", lag <= bound, f"{lag:.0f} µs ≤ {bound:.0f} µs"
    )
    ratio = [got[name] / sum(got.values()) for name in MEMBERS]
    wanted = [weight / sum(WEIGHTS.values()) for weight in WEIGHTS.values()]
    off = 100 * max(abs(a - b) for a, b in zip(ratio, wanted, strict=True))
    story.claim("in the long run each has its share", off <= TOLERANCE, f"{off:.2f} % off")
    stage = Stage("fair_share", seed=seed)
    stage.run(time_us=SETTLING_US)
    found = extremes(windows(stage, MEMBERS, window_us=WINDOW_US, every_us=EVERY_US, count=COUNT), MEMBERS)
    story.tell(f"with a fourth of weight 2 that sleeps and wakes: {shown(found)}")
    count = stage.words("report_sleeper", 1)[0]
    stage.close()
    story.claim("who wakes is served", count > 2, f"{count} times")
    total = sum(WEIGHTS.values())
    least = all(found[n][0] >= (100 - SLEEPER_MOST) * w / total - 2 * TOLERANCE for n, w in WEIGHTS.items())
    story.claim("and takes no more than its weight, whatever it has not used before", least)
