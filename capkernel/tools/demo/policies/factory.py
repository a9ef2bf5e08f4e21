"""A factory certifies which ways out its processes have; who looks at that may trust them with a secret."""

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault

TITLE = "a factory says which ways out its processes have, and a builder finds no other way to put one in"
LONGEST_US = 500_000


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


def play(
    seed: int = 0, requester: str = "requester.elf", faults: tuple[Fault, ...] = ()
) -> tuple[Builder, Requester, str]:
    """Run the system once; with the hash of its trace."""
    stage = Stage("factory", seed=seed, programs={"requester": requester}, faults=faults)
    stage.run_until(lambda: bool(stage.words("report_requester", 1)[0]), LONGEST_US)
    run = stage.run(time_us=5_000)
    builder, seen = Builder(*stage.words("report_builder", 5)), Requester(*stage.words("report_requester", 7))
    stage.close()
    return builder, seen, run.trace_hash


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run; one with a requester who does not look."""
    builder, requester, story.trace_hash = play(story.seed)
    story.claim("the builder could put no way out into a factory that seems tight", not builder.sneaked, builder.tries)
    told = requester.tight, requester.holes, requester.refused
    story.claim("the requester told tight, leaky and false factories apart", told == (1, 1, 1), told)
    story.claim("the confined process did its work", requester.runs == requester.useful == 1)
    came_out = builder.heard + builder.written + requester.leaks
    story.claim("the secret did not come out", bool(requester.done and builder.done) and not came_out)
    careless, blind, _ = play(story.seed, "careless_requester.elf")
    story.claim("of a requester who does not look at the certificate it came out", bool(careless.heard and blind.leaks))
