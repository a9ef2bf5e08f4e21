"""Replaying many programs, on several processes."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from capkernel.tools.conform.coverage import Counts, Coverage, coverage_of
from capkernel.tools.conform.recordings import Recorded
from capkernel.tools.conform.replay import Divergence, Outcome, Program, replay
from capkernel.tools.workers import working


@dataclass(frozen=True)
class Replayed:
    """A program and what its replay gave."""

    recorded: Recorded
    outcome: Outcome


@dataclass
class Campaign:
    """The results of a run, in the order of the programs."""

    replayed: list[Replayed] = field(default_factory=list)
    counts: Counts = field(default_factory=Counter)

    @property
    def operations(self) -> int:
        """How many operations (log entries in the group ``time``) were carried out and compared."""
        return sum(result.outcome.operations for result in self.replayed)

    def divergences(self) -> list[tuple[Recorded, Divergence]]:
        """The programs that differ, and where."""
        found = ((result.recorded, result.outcome.divergence) for result in self.replayed)
        return [(recorded, divergence) for recorded, divergence in found if divergence is not None]

    def assumed(self) -> list[tuple[Recorded, str]]:
        """What had to be assumed about inputs that a record does not give."""
        return [(result.recorded, text) for result in self.replayed for text in result.outcome.assumed]

    def summary(self) -> str:
        """The last line of the report."""
        found = len(self.divergences())
        return f"conform: {len(self.replayed)} programs, {self.operations} operations, {found} divergences"


def run(
    programs: list[Recorded], *, jobs: int, with_coverage: bool = False, on_program: Callable[[], None] | None = None
) -> Campaign:
    """Replay all programs on ``jobs`` processes; ``on_program`` is called after each."""
    campaign = Campaign()
    work = partial(_replay_one, with_coverage=with_coverage)
    with _mapping(jobs) as mapped:
        for recorded, (outcome, counts) in zip(programs, mapped(work, [r.program for r in programs]), strict=True):
            campaign.replayed.append(Replayed(recorded, outcome))
            campaign.counts.update(counts)
            if on_program is not None:
                on_program()
    return campaign


_Result = tuple[Outcome, Counts]
_Map = Callable[[Callable[[Program], _Result], Iterable[Program]], Iterator[_Result]]


@contextmanager
def _mapping(jobs: int) -> Iterator[_Map]:
    """What ``map`` does, on so many processes."""
    if jobs == 1:
        yield map
        return
    with working(jobs) as workers:
        yield workers.map


def _replay_one(program: Program, *, with_coverage: bool) -> _Result:
    coverage = Coverage()
    outcome = replay(program, [coverage] if with_coverage else [])
    if not with_coverage or outcome.divergence is not None or outcome.assumed:
        return outcome, Counter()
    return outcome, coverage_of(program, coverage)
