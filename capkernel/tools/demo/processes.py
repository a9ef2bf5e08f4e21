"""Processes: programs from the file system with just the caps that they are given, in exact quotas; servers die."""

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.storage import spread
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind

TITLE = "processes with just the caps that they are given; their servers may die at any point"
SERVERS = "memory", "pager", "processes", "files", "disk"
POINTS = 2
LONGEST_US = 5_000_000
PAGES, FRAMES = 64, 8
SUM = PAGES * (PAGES + 1) // 2
READ_BYTES = 22


@frozen
class Outcome:
    """What the client reported, in its order, and what else was seen."""

    words: tuple[int, ...]
    steps: dict[str, int]
    activated: bool
    faults: tuple[tuple[str, str], ...]
    output: str
    trace_hash: str

    @property
    def is_right(self) -> bool:
        """Whether every process did what it was to do."""
        done, greeted, read, faulted, killed, sibling, _, added = self.words[:8]
        expected = (1, 2, READ_BYTES, 1, 1, 3, SUM)
        return (done, greeted, read, faulted, killed, sibling, added) == expected and not self.faults


def play(seed: int = 0, faults: tuple[Fault, ...] = ()) -> Outcome:
    """One run."""
    stage = Stage("processes", seed=seed, faults=faults)
    stage.run_until(lambda: bool(stage.words("report", 1)[0]), LONGEST_US)
    run = stage.run(time_us=20_000)
    words = stage.words("report", 13)
    stage.close()
    return Outcome(
        words, dict(stage.injector.steps), bool(stage.injector.activated), run.faults, run.output, run.trace_hash
    )


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run in which nothing dies; then one for each of some points at which a server does."""
    calm = play(story.seed)
    _, greeted, read, faulted, killed, sibling, forked, added, touched, ins, outs, left, again = calm.words
    story.claim("a program from a file got its arguments, and its exit code came back", greeted == 2, greeted)
    story.claim("one that was given a file to read could read it, and not write", read == READ_BYTES, read)
    story.claim("one that touched what it has not got ended by a fault", faulted == 1)
    story.claim("one that did not end was killed", killed == 1)
    story.claim("one that starts itself without end came to its quota", forked == 6, f"{forked} processes")
    story.claim("its sibling noticed nothing", sibling == 3)
    story.claim(f"{PAGES} pages in {FRAMES} frames gave the right sum", added == SUM, added)
    story.claim("pages went to the disk and came back", outs >= PAGES - FRAMES and ins >= PAGES - FRAMES)
    story.claim("at the end every byte is where it came from", not left and not again, left)
    story.claim("nobody else stopped", not calm.faults, calm.faults)
    for server in SERVERS:
        outcomes = [
            play(story.seed, (Fault(server, step, Kind.CRASH),))
            for step in spread(calm.steps[server], calm.steps[server] if everywhere else POINTS)
        ]
        struck = [outcome for outcome in outcomes if outcome.activated]
        wrong = [outcome.words for outcome in struck if not outcome.is_right]
        story.claim(f"all of this is so if {server} dies meanwhile", bool(struck) and not wrong, f"{len(struck)} runs")
    story.figures |= {"page faults": touched, "pages from the disk": ins, "pages to the disk": outs}
    story.trace_hash = calm.trace_hash
