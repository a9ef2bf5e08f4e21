"""A factory certifies which ways out its processes have; who looks at that may trust them with a secret."""

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.demo.volumes import spread_from
from capkernel.tools.inject import Fault, Kind

TITLE = "a factory says which ways out its processes have, and a builder finds no other way to put one in"
LONGEST_US = 500_000
MORTALS = ("factory", "processes")
FIRST, SAMPLE, ALL = 2, 2, 2_000


@frozen
class Builder:
    """What the builder reports."""

    done: int
    tries: int
    sneaked: int
    heard: int
    written: int


@frozen
class Requester:
    """The requester's report."""

    done: int
    tight: int
    holes: int
    refused: int
    runs: int
    useful: int
    leaks: int


@frozen
class Outcome:
    """What came of a run; how often a server died, and how many steps factory and process server took."""

    builder: Builder
    requester: Requester
    deaths: int
    steps: dict[str, int]
    trace_hash: str

    @property
    def came_out(self) -> int:
        """Of the secret, by any way."""
        return self.builder.sneaked + self.builder.heard + self.builder.written + self.requester.leaks

    @property
    def told(self) -> tuple[int, int, int]:
        """What the requester took for tight, for leaky, for no factory."""
        return self.requester.tight, self.requester.holes, self.requester.refused

    @property
    def is_over(self) -> bool:
        """Whether builder and requester came to their end, and the process did its work."""
        return bool(self.builder.done and self.requester.done) and self.requester.runs == self.requester.useful == 1


def play(seed: int = 0, requester: str = "requester.elf", faults: tuple[Fault, ...] = ()) -> Outcome:
    """Run the system once."""
    stage = Stage("factory", seed=seed, programs={"requester": requester}, faults=faults)
    stage.run_until(lambda: stage.have_reported("report_requester"), LONGEST_US)
    deaths, steps = len(stage.injector.activated), dict(stage.injector.steps)
    run = stage.run(time_us=5_000)
    builder, seen = stage.report(Builder, "report_builder"), stage.report(Requester, "report_requester")
    stage.close()
    return Outcome(builder, seen, deaths, steps, run.trace_hash)


def story(story: Story, *, everywhere: bool = False) -> None:
    """A calm run; runs in which the factory server dies; one with a requester who does not look."""
    calm = play(story.seed)
    story.trace_hash = calm.trace_hash
    hidden = not calm.builder.sneaked
    story.claim("the builder could put no way out into a factory that seems tight", hidden, calm.builder.tries)
    story.claim("the requester told tight, leaky and false factories apart", calm.told == (1, 1, 1), calm.told)
    hidden = calm.is_over and not calm.came_out
    story.claim("the confined process did its work, and the secret did not come out", hidden)
    for server in MORTALS:
        played = [
            (step, play(story.seed, faults=(Fault(server, step, Kind.CRASH),)))
            for step in spread_from(FIRST, calm.steps[server], ALL if everywhere else SAMPLE)
        ]
        story.claim(f"the {server} server died", all(each.deaths for _, each in played), f"at {len(played)} points")
        lost = [step for step, each in played if not each.is_over or each.told != (1, 1, 1)]
        story.claim("each time all factories were what they had been", not lost, lost or "")
        loose = [step for step, each in played if each.came_out]
        story.claim("and nothing came out", not loose, loose or "")
    blind = play(story.seed, "careless_requester.elf")
    told = bool(blind.builder.heard and blind.requester.leaks)
    story.claim("of a requester who does not look at the certificate it came out", told)
