"""All mutants tried, the results kept: a campaign may be stopped at any time, and goes on where it was.

A mutant that was killed stays killed as long as the kernel is the same. One that survived is tried again when what
judges has changed, or when more seconds are allowed. What was tried under another kernel begins with the case that
killed it then.
"""

import gc
import json
import os
import random
import select
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path

from specs.mutation.cases import Case
from specs.mutation.mutants import Mutant
from specs.mutation.survey import Sources, Survey, bits
from specs.mutation.trial import Candidate, Trial
from specs.mutation.verdict import SURVIVED, Verdict

FIRST_TESTS = 12
"""So many tests, the quickest, are run early; the other tests last."""
EARLY, THEN = 12, 120
"""So many programs come before those tests, and before the other tests."""
PROGRAMS = ("generated", "recorded", "watched")
"""The first words of the names of cases that are programs."""
WARM = 24
"""So many programs of each kind are run before anything is forked, so that worlds are built once."""
SAVE_EVERY = 100


@dataclass(frozen=True)
class Entry:
    """A verdict, and what it is true of: digests of the kernel and of what judges, and seconds allowed."""

    verdict: Verdict
    kernel: str
    judges: str
    allowed: float


class Record:
    """The file of a campaign, by mutants' keys; it is replaced as a whole."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.entries: dict[str, Entry] = {}
        self._unsaved = 0
        if path is not None and path.exists():
            for key, row in json.loads(path.read_text(encoding="utf-8")).items():
                self.entries[key] = Entry(**row | {"verdict": Verdict(**row["verdict"])})

    def add(self, key: str, entry: Entry) -> None:
        """Keep a verdict; now and then all are written down."""
        self.entries[key] = entry
        self._unsaved += 1
        if self._unsaved >= SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Write all down."""
        self._unsaved = 0
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.write_text(json.dumps({key: asdict(entry) for key, entry in self.entries.items()}), encoding="utf-8")
        os.replace(fresh, self._path)


class Campaign:
    """Mutants, the cases that judge them, and what came of them so far.

    ``seconds`` of processor time are spent at most on a mutant.
    """

    def __init__(
        self, mutants: Sequence[Mutant], survey: Survey, sources: Sources, record: Record, seconds: float
    ) -> None:
        self.mutants = mutants
        self.record = record
        self._survey = survey
        self._sources = sources
        self._seconds = seconds
        self._killers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for mutant in mutants:
            self._learn(mutant, record.entries.get(mutant.key))

    def verdict(self, mutant: Mutant) -> Verdict | None:
        """What came of a mutant; None if that is not known of these sources."""
        entry = self.record.entries.get(mutant.key)
        if entry is None or entry.kernel != self._sources.kernel:
            return None
        survived = entry.verdict.verdict == SURVIVED
        outdated = entry.judges != self._sources.judges or entry.allowed < self._seconds
        return None if survived and outdated else entry.verdict

    def pending(self) -> list[Mutant]:
        """Mutants without verdict, mixed, so that the first of them say something of all."""
        waiting = [mutant for mutant in self.mutants if self.verdict(mutant) is None]
        return sorted(waiting, key=lambda mutant: random.Random(mutant.key).random())

    def run(self, workers: int, most: int | None = None) -> Iterator[Mutant]:
        """Try what is pending (``most`` of it), so many at a time; yields each mutant when its verdict is there."""
        waiting = self.pending()[:most]
        for case in _examples(self._survey.cases):
            case.run()
        gc.collect()
        gc.freeze()
        running: list[Trial] = []
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    mutant = waiting.pop(0)
                    running.append(Trial(mutant, self._candidates(mutant), self._seconds))
                ready = select.select(running, [], [], 1.0)[0]
                for trial in list(running):
                    verdict = trial.proceed() if trial in ready else trial.stop() if trial.hangs else None
                    if verdict is not None:
                        running.remove(trial)
                        self._note(trial.mutant, verdict)
                        yield trial.mutant
        finally:
            for trial in running:
                trial.abandon()
            self.record.save()
            gc.unfreeze()

    def _note(self, mutant: Mutant, verdict: Verdict) -> None:
        entry = Entry(verdict, self._sources.kernel, self._sources.judges, self._seconds)
        self.record.add(mutant.key, entry)
        self._learn(mutant, entry)

    def _learn(self, mutant: Mutant, entry: Entry | None) -> None:
        if entry is not None and entry.verdict.by:
            self._killers[f"{mutant.module}.{mutant.function}"][entry.verdict.by] += 1

    def _candidates(self, mutant: Mutant) -> list[Candidate]:
        """The cases that execute what has changed, likely killers first."""
        lines = bits(mutant.lines)
        measured = self._survey.measured
        found = [case for case in self._survey.cases if measured[case.name].executes(mutant.module, lines)]
        random.Random(mutant.key).shuffle(found)
        entry = self.record.entries.get(mutant.key)
        killers = self._killers[f"{mutant.module}.{mutant.function}"]
        known = [name for name, _ in killers.most_common(3)]
        if entry is not None and entry.verdict.by:
            known.insert(0, entry.verdict.by)
        first = sorted((case for case in found if case.name in known), key=lambda case: known.index(case.name))
        rest = [case for case in found if case.name not in known]
        return [Candidate(case, measured[case.name].seconds) for case in [*first, *self._ordered(rest)]]

    def _ordered(self, cases: list[Case]) -> list[Case]:
        """Programs of all kinds by turns, with the quickest tests early and the others in the midst."""
        kinds = [[case for case in cases if case.name.startswith(kind)] for kind in PROGRAMS]
        mixed = [case for turn in zip_longest(*kinds) for case in turn if case is not None]
        tests = sorted(
            (case for case in cases if "::" in case.name), key=lambda case: self._survey.measured[case.name].seconds
        )
        some, more, rest = mixed[:EARLY], mixed[EARLY:THEN], mixed[THEN:]
        return [*some, *tests[:FIRST_TESTS], *more, *tests[FIRST_TESTS:], *rest]


def _examples(cases: Sequence[Case]) -> list[Case]:
    """Some programs of each kind."""
    kinds: defaultdict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if "::" not in case.name:
            words = case.name.split()
            kinds[words[0] + (words[1].rstrip("0123456789") if words[0] == "recorded" else "")].append(case)
    return [case for some in kinds.values() for case in some[:WARM]]
