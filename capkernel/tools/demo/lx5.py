"""LX-5: POSIX as one server; what a program under it can do to others, and what it cannot do to anybody else."""

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.demo.volumes import spread_from
from capkernel.tools.inject import Fault, Kind

TITLE = "POSIX is one server among others: paths, pipes and processes inside it, nothing of anybody else"
SERVER, MORTALS = "posix", ("posix", "processes", "files")
FIRST, SAMPLE, ALL = 10, 1, 40
LONGEST_US, SETTLE_US = 400_000, 2_000
BYTES, CHILDREN, ERRORS = 1640, 3, 7
"""What the pipeline has to count, of how many processes it is, and how many calls have to fail."""
SIGKILL, SIGTERM = 9, 15


@frozen
class Outcome:
    """What init and the witness reported, in their order."""

    done: int
    counted: int
    exits: int
    signalled: int
    errors: int
    orphan: int
    harm: int
    diary: int
    victim: int
    kept: int
    again: int
    witness_rounds: int
    witness_lost: int
    witness_errors: int
    witness_retries: int
    activated: bool
    steps: dict[str, int]
    trace_hash: str

    @property
    def is_right(self) -> bool:
        """Whether all went as it should, however often it had to be begun."""
        worked = (self.counted, self.exits, self.signalled) == (BYTES, CHILDREN, SIGTERM)
        return bool(self.done) and worked and (self.errors, self.orphan, self.kept) == (ERRORS, 1, 7)


def play(seed: int = 0, faults: tuple[Fault, ...] = ()) -> Outcome:
    """One run."""
    stage = Stage("posix", seed=seed, faults=faults)
    stage.run_until(lambda: bool(stage.words("report_init", 1)[0]), LONGEST_US)
    steps = dict(stage.injector.steps)
    run = stage.run(time_us=SETTLE_US)
    words = (*stage.words("report_init", 11), *stage.words("report_witness", 4))
    stage.close()
    return Outcome(*words, bool(stage.injector.activated), steps, run.trace_hash)


def story(story: Story, *, everywhere: bool = False) -> None:
    """A calm run, then runs in which servers die."""
    calm = play(story.seed)
    story.claim("cat poem poem | tr a-z A-Z | wc -c", calm.counted == BYTES, f"{calm.counted} bytes")
    story.claim("each of the three processes ended with 0", calm.exits == CHILDREN)
    story.claim("a child was ended by a signal, and its parent was told which", calm.signalled == SIGTERM)
    story.claim("calls that cannot be fail with the errors of POSIX", calm.errors == ERRORS, f"{calm.errors} of them")
    story.claim("a file without a name goes on for who has it open", bool(calm.orphan))
    story.claim("a program that was asked for nothing removed the user's diary", not calm.diary, f"{calm.harm} victims")
    story.claim("and ended a process that it had nothing to do with", calm.victim == SIGKILL)
    story.claim("POSIX went on, and what was synced is there", calm.kept == 7)
    unharmed = bool(calm.witness_rounds) and not (calm.witness_lost or calm.witness_errors or calm.witness_retries)
    story.claim("who does not live under POSIX noticed nothing", unharmed, f"{calm.witness_rounds} rounds of a witness")
    for name in MORTALS:
        outcomes = [
            play(story.seed, (Fault(name, step, Kind.CRASH),))
            for step in spread_from(FIRST, calm.steps[name], ALL if everywhere else SAMPLE)
        ]
        struck = [outcome for outcome in outcomes if outcome.activated]
        wrong = [outcome for outcome in struck if not outcome.is_right]
        story.claim(f"{name} dies, and all goes well when it is begun anew", bool(struck) and not wrong,
                    f"{len(struck)} deaths" if not wrong else wrong[0])  # fmt: skip
        lost = [outcome for outcome in struck if outcome.witness_lost or outcome.witness_errors]
        disturbed = [outcome for outcome in struck if outcome.witness_retries]
        story.claim(f"the witness loses nothing when {name} dies", not lost)
        if name != "files":
            story.claim(f"nor has it to ask again when {name} dies", not disturbed)
    story.figures["system calls of init and its processes that the server served"] = calm.steps[SERVER]
    story.trace_hash = calm.trace_hash
