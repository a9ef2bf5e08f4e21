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
class Init:
    """What the first process reports."""

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


@frozen
class Witness:
    """What who is beside it reports."""

    rounds: int
    lost: int
    errors: int
    retries: int


@frozen
class Outcome:
    """What came of a run."""

    init: Init
    witness: Witness
    activated: bool
    steps: dict[str, int]
    trace_hash: str

    @property
    def is_right(self) -> bool:
        """Whether all went as it should, however often it had to be begun."""
        init = self.init
        worked = (init.counted, init.exits, init.signalled) == (BYTES, CHILDREN, SIGTERM)
        return bool(init.done) and worked and (init.errors, init.orphan, init.kept) == (ERRORS, 1, 7)


def play(seed: int = 0, faults: tuple[Fault, ...] = ()) -> Outcome:
    """One run."""
    stage = Stage("posix", seed=seed, faults=faults)
    stage.run_until(lambda: stage.have_reported("report_init"), LONGEST_US)
    steps = dict(stage.injector.steps)
    run = stage.run(time_us=SETTLE_US)
    outcome = Outcome(
        stage.report(Init, "report_init"), stage.report(Witness, "report_witness"),
        bool(stage.injector.activated), steps, run.trace_hash,
    )  # fmt: skip
    stage.close()
    return outcome


def story(story: Story, *, everywhere: bool = False) -> None:
    """A calm run, then runs in which servers die."""
    calm = play(story.seed)
    init, witness = calm.init, calm.witness
    story.claim("cat poem poem | tr a-z A-Z | wc -c", init.counted == BYTES, f"{init.counted} bytes")
    story.claim("each of the three processes ended with 0", init.exits == CHILDREN)
    story.claim("a child was ended by a signal, and its parent was told which", init.signalled == SIGTERM)
    story.claim("calls that cannot be fail with the errors of POSIX", init.errors == ERRORS, f"{init.errors} of them")
    story.claim("a file without a name goes on for who has it open", bool(init.orphan))
    story.claim("a program that was asked for nothing removed the user's diary", not init.diary, f"{init.harm} victims")
    story.claim("and ended a process that it had nothing to do with", init.victim == SIGKILL)
    story.claim("POSIX went on, and what was synced is there", init.kept == 7)
    unharmed = bool(witness.rounds) and not (witness.lost or witness.errors or witness.retries)
    story.claim("who does not live under POSIX noticed nothing", unharmed, f"{witness.rounds} rounds of a witness")
    for name in MORTALS:
        outcomes = {
            step: play(story.seed, (Fault(name, step, Kind.CRASH),))
            for step in spread_from(FIRST, calm.steps[name], ALL if everywhere else SAMPLE)
        }
        struck = [outcome for outcome in outcomes.values() if outcome.activated]
        wrong = [step for step, outcome in outcomes.items() if outcome.activated and not outcome.is_right]
        story.claim(f"{name} dies, and all goes well when it is begun anew", bool(struck) and not wrong,
                    f"{len(struck)} deaths" if not wrong else f"not at its steps {wrong}")  # fmt: skip
        lost = [outcome for outcome in struck if outcome.witness.lost or outcome.witness.errors]
        disturbed = [outcome for outcome in struck if outcome.witness.retries]
        story.claim(f"the witness loses nothing when {name} dies", not lost)
        if name != "files":
            story.claim(f"nor has it to ask again when {name} dies", not disturbed)
        if name == "processes":
            story.claim("programs under POSIX went on when it died", not any(each.init.again for each in struck))
    story.figures["system calls of init and its processes that the server served"] = calm.steps[SERVER]
    story.trace_hash = calm.trace_hash
