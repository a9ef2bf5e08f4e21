"""QN-6: a manager recovers a server in stages; it is killed, and goes on; clients notice only a delay."""

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind

TITLE = "high availability: entity, condition, action; the manager is killed, too; clients reconnect"
COUNT = 30
LONGEST_US = 800_000
SAMPLE = 4
SERVER_STEP = 40
STAGES_US = 20_000
"""Two beats of 10 ms lie between the death and the restart."""


@frozen
class Outcome:
    """How a run ended."""

    is_right: bool
    recovered: int
    told: int
    deaths: int
    takeovers: int
    lives: int
    down_us: int
    steps: int
    activated: int
    trace_hash: str


def story(story: Story, *, everywhere: bool = False) -> None:
    """A death, a hang, then the manager dies while it recovers: at some of its steps, or ``everywhere``."""
    quiet = _play(story.seed, ())
    story.claim("without a failure nothing is recovered", quiet.is_right and quiet.recovered + quiet.deaths == 0)
    death = _play(story.seed, (Fault("server", SERVER_STEP, Kind.CRASH),))
    story.claim(
        "death: clients reconnect, and every sum is right", death.is_right and death.recovered > 0, death.recovered
    )
    story.claim("one entity, one condition", death.deaths == 1, death.deaths)
    story.claim("stage 1: who is to be told is told", death.told == 1, death.told)
    in_time = STAGES_US - 10_000 <= death.down_us <= STAGES_US + 10_000
    story.claim("stages 2 and 3: after two beats it is restarted", in_time, f"{death.down_us / 1000:.1f} ms")
    hang = _play(story.seed, (Fault("server", SERVER_STEP, Kind.HANG),))
    story.claim("a server that hangs misses its heartbeat, and is recovered", hang.is_right and hang.deaths == 1)
    early = _play(story.seed, (Fault("server", SERVER_STEP, Kind.CRASH),))
    points = range(1, early.steps + 1) if everywhere else range(3, early.steps + 1, max(1, early.steps // SAMPLE))
    runs = [
        _play(story.seed, (Fault("server", SERVER_STEP, Kind.CRASH), Fault("ham", step, Kind.CRASH))) for step in points
    ]
    right = sum(run.is_right for run in runs)
    story.claim("wherever the manager dies, clients see no error", right == len(runs), f"{right} of {len(runs)}")
    hit = [run for run in runs if run.activated == 2]
    told = sum(run.lives > 1 for run in hit)
    story.claim("its guardian starts it again", bool(hit) and told == len(hit), f"{told} of {len(hit)}")
    known = sum(run.deaths >= 1 for run in runs)
    story.claim("and it goes on from what the one before has seen", known == len(runs), f"{known} of {len(runs)}")
    twice = (Fault("server", SERVER_STEP, Kind.CRASH), *(Fault("ham", 25, Kind.CRASH, life=life) for life in (1, 2)))
    again = _play(story.seed, twice)
    story.claim("also when it dies twice", again.is_right and again.takeovers >= 2, f"{again.takeovers} times")
    alone = _play(story.seed, (*twice[:1], Fault("ham", 1, Kind.CRASH), Fault("guardian", 1, Kind.CRASH)))
    story.claim("without a guardian nobody recovers the server", not alone.is_right)
    story.trace_hash = death.trace_hash


def _play(seed: int, faults: tuple[Fault, ...]) -> Outcome:
    stage = Stage("qnx_ha", seed=seed, faults=faults)
    regions = ("report_a", "report_b")
    stage.run_until(lambda: all(stage.words(region, 1)[0] == COUNT for region in regions), LONGEST_US)
    run = stage.run(time_us=30_000)
    reports = [stage.words(region, 4) for region in regions]
    lives = [(at, begins) for at, name, begins in stage.system.lives if name == "server"]
    down = next((at - lives[index - 1][0] for index, (at, begins) in enumerate(lives) if begins and index), 0)
    is_right = all(report[:3] == (COUNT, 0, 0) for report in reports)
    try:
        deaths, takeovers = stage.words("ham_report", 2)
    except KeyError:
        deaths = takeovers = 0
    outcome = Outcome(
        is_right, sum(report[3] for report in reports), stage.words("report_alarm", 1)[0], deaths, takeovers,
        sum(name == "ham" and begins for _, name, begins in stage.system.lives),
        down // 10, stage.injector.steps["ham"], len(stage.injector.activated), run.trace_hash,
    )  # fmt: skip
    stage.close()
    return outcome
