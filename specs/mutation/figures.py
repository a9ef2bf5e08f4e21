"""What a campaign has come to: counted by module, survivors with their changes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from specs.mutation.explained import Explanation, named, stale
from specs.mutation.mutants import Mutant
from specs.mutation.verdict import KILLED, SAME, SURVIVED, TIMED_OUT, Verdict

EQUIVALENT, WAITING = "equivalent", "not run"
COLUMNS = KILLED, TIMED_OUT, SURVIVED, EQUIVALENT, WAITING
ALL = "all"
TARGET = 0.97
"""Of those that are not equivalent so many are to be killed."""


@dataclass(frozen=True)
class Survivor:
    """A mutant that nothing noticed, after how many cases."""

    mutant: Mutant
    cases: int


@dataclass
class Figures:
    """Counts by module, survivors, and what is wrong with the explanations."""

    modules: dict[str, Counter[str]] = field(default_factory=dict)
    survivors: list[Survivor] = field(default_factory=list)
    equivalent: list[tuple[Mutant, Explanation]] = field(default_factory=list)
    stale: list[Explanation] = field(default_factory=list)
    wrong: list[tuple[Explanation, str]] = field(default_factory=list)
    first: Counter[str] = field(default_factory=Counter)
    """What noticed mutants first, by kind of case."""
    seconds: float = 0.0

    @property
    def total(self) -> Counter[str]:
        """The counts of all modules."""
        return sum(self.modules.values(), Counter())

    @property
    def good(self) -> bool:
        """Whether all were run, enough were killed, and the explanations are right."""
        total = self.total
        return not total[WAITING] and score(total) >= TARGET and not self.stale and not self.wrong


def score(counts: Counter[str]) -> float:
    """The share of the mutants that were run and are not equivalent which something noticed; 1 of none."""
    noticed = counts[KILLED] + counts[TIMED_OUT]
    tried = noticed + counts[SURVIVED]
    return noticed / tried if tried else 1.0


def figures(results: Iterable[tuple[Mutant, Verdict | None]], explained: dict[str, Explanation]) -> Figures:
    """Count what is known of mutants."""
    found = Figures()
    mutants: list[Mutant] = []
    for mutant, verdict in results:
        mutants.append(mutant)
        explanation = explained.get(named(mutant))
        kind = _kind(verdict, explanation)
        found.modules.setdefault(mutant.module, Counter())[kind] += 1
        if verdict is not None:
            found.seconds += verdict.seconds
            found.first[_judge(verdict)] += kind in (KILLED, TIMED_OUT)
        if kind == SURVIVED and verdict is not None:
            found.survivors.append(Survivor(mutant, verdict.cases))
        elif kind == EQUIVALENT and explanation is not None:
            found.equivalent.append((mutant, explanation))
        elif explanation is not None and verdict is not None:
            found.wrong.append((explanation, verdict.by))
    found.stale = stale(explained, mutants)
    return found


def _judge(verdict: Verdict) -> str:
    """The kind of the case that noticed a mutant."""
    return "test" if "::" in verdict.by else verdict.by.partition(" ")[0]


def _kind(verdict: Verdict | None, explanation: Explanation | None) -> str:
    if verdict is None:
        return WAITING
    if verdict.verdict == SAME or (verdict.verdict == SURVIVED and explanation is not None):
        return EQUIVALENT
    return verdict.verdict


def data(found: Figures) -> dict[str, Any]:
    """The same for programs."""
    counts = {name: {column: counts[column] for column in COLUMNS} for name, counts in found.modules.items()}
    return {
        "modules": counts,
        "total": {column: found.total[column] for column in COLUMNS},
        "score": score(found.total),
        "seconds": round(found.seconds, 1),
        "noticed first by": {name: count for name, count in found.first.most_common() if count},
        "survivors": [
            {"key": one.mutant.key, "where": one.mutant.title, "diff": one.mutant.diff, "cases": one.cases}
            for one in found.survivors
        ],
        "equivalent": [{"where": m.title, "diff": m.diff, "why": e.why} for m, e in found.equivalent],
        "stale": [explanation.name for explanation in found.stale],
        "wrong": [{"explanation": explanation.name, "noticed by": by} for explanation, by in found.wrong],
        "good": found.good,
    }


def rows(found: Figures) -> list[tuple[str, Sequence[int], float]]:
    """For a table: module, its counts in the order of ``COLUMNS``, its score; at the end the sums."""
    named_counts = [*sorted(found.modules.items()), (ALL, found.total)]
    return [(name, [counts[column] for column in COLUMNS], score(counts)) for name, counts in named_counts]
