"""The confused deputy (Hardy 1988): a compiler is fooled by a name into overwriting its bill, and not by a cap."""

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story

TITLE = "a compiler is fooled by a name into overwriting its own bill; by a cap it cannot be"
LONGEST_US = 200_000
JOBS = 3


@frozen
class Outcome:
    """What the customer reports."""

    done: int
    served: int
    direct: int
    name_charges: int
    cap_tries: int
    cap_refused: int
    cap_charges: int


def play(seed: int = 0) -> tuple[Outcome, str]:
    """Run the system once; with the hash of its trace."""
    stage = Stage("deputy", seed=seed)
    stage.run_until(lambda: stage.have_reported("report"), LONGEST_US)
    outcome, run = stage.report(Outcome, "report"), stage.run(time_us=100)
    stage.close()
    return outcome, run.trace_hash


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run of both compilers."""
    seen, story.trace_hash = play(story.seed)
    story.claim("both compilers do their work", bool(seen.done) and seen.served == JOBS, f"{seen.served} jobs each")
    story.claim("the list keeps the customer away from the bill", bool(seen.done) and not seen.direct)
    story.claim(
        "the compiler that is told names writes its output over the bill, as the list allows *it*",
        bool(seen.done) and not seen.name_charges, f"{seen.name_charges} charges of {JOBS + 1} are left",
    )  # fmt: skip
    story.claim(
        "nothing that the customer can hand over leads to the other bill",
        bool(seen.cap_tries) and seen.cap_refused == seen.cap_tries, f"{seen.cap_tries} tries",
    )  # fmt: skip
    charges = seen.cap_charges
    story.claim("every job is on the bill of the compiler that is given caps", charges >= JOBS, f"{charges} charges")
