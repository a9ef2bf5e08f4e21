"""Programs without end on both kernels: batches of generated programs, counted, and kept in a file to go on with."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from capkernel.abi import syscalls as sc
from capkernel.tools.sources import digest
from capkernel.tools.workers import working
from specs import generate
from specs.generate import Chooser, RandomChooser
from specs.programs import Execution, Program, Syscall
from specs.refinement.check import beside, beside_made_up, script, shrunk
from specs.refinement.lockstep import Lockstep

COMPARED = ("capkernel/abi", "capkernel/kernel", "specs/abstract", "specs/refinement")
"""Whose sources a record belongs to: those of the two kernels, and of what compares them."""
PROGRAM_STEPS = 40
"""The most steps of one program."""
BATCH = 100
"""Programs that are run and written down at once."""
STRIDE = 1 << 32
"""So many programs belong to one seed."""
NOISE_EVERY = 10
"""One program in so many has random words everywhere."""
MOST_KEPT = 10
"""Divergences that are kept with their programs, one of a batch at most; more are only counted."""


@dataclass
class Sums:
    """What has been run. ``kinds`` counts kernel entries by what was done, ``refused`` those that came to an error or
    fault; ``divergences`` holds the first, as (program number, what differs, script)."""

    programs: int = 0
    operations: int = 0
    entries: int = 0
    diverged: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    divergences: list[tuple[int, str, str]] = field(default_factory=list)

    def add(self, other: "Sums") -> None:
        """Count another's in."""
        for name in ("programs", "operations", "entries", "diverged"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.kinds.update(other.kinds)
        self.refused.update(other.refused)
        self.divergences = (self.divergences + other.divergences)[:MOST_KEPT]


def run(seed: int, number: int) -> tuple[Execution, Lockstep]:
    """Run program ``number`` of a seed on both kernels: one made up before, or as it goes, or of noise."""
    choose = RandomChooser(seed * STRIDE + number)
    if number % NOISE_EVERY == 0:
        return beside(_noise(choose))
    if number % 2:
        return beside_made_up(choose, PROGRAM_STEPS)
    return beside(generate.program(choose, PROGRAM_STEPS))


def _noise(choose: Chooser) -> Program:
    """Random words everywhere; then what no other program does, as it may halt the machine: debug system calls."""
    layout = choose.of(generate.LAYOUTS)
    steps = tuple(generate.noise(choose) for _ in range(choose.number(1, PROGRAM_STEPS)))
    named = Syscall(sc.DEBUG_NAME_THREAD, choose.of(generate.THREADS))
    return Program(layout, (*steps, named, Syscall(sc.DEBUG_HALT)))


def play(seed: int, first: int, programs: int) -> Sums:
    """Run so many programs of a seed, from number ``first`` on; the first that diverges is cut down."""
    sums = Sums()
    for number in range(first, first + programs):
        execution, lockstep = run(seed, number)
        sums.programs += 1
        sums.operations += execution.taken
        sums.entries += lockstep.entries
        for (kind, outcome), times in lockstep.counts.items():
            sums.kinds[kind] += times
            if outcome:
                sums.refused[kind] += times
        if execution.problem is not None:
            sums.diverged += 1
        if execution.problem is not None and not sums.divergences:
            sums.divergences.append((number, execution.problem, script(shrunk(execution.program))))
    return sums


class Record:
    """The file of a campaign. It is replaced as a whole after each batch, so a campaign may be killed at any time.

    What other sources, or another seed, have left in the file does not count; ``outdated`` says that there was such.
    """

    def __init__(self, path: Path | None, seed: int) -> None:
        self.path, self.seed = path, seed
        self.sums = Sums()
        self.done: set[int] = set()
        self.outdated = False
        self._digest = digest(COMPARED)
        if path is not None and path.exists():
            self._read(json.loads(path.read_text(encoding="utf-8")))

    def _read(self, data: dict[str, Any]) -> None:
        if (data["digest"], data["seed"]) != (self._digest, self.seed):
            self.outdated = True
            return
        sums = data["sums"]
        for name in ("kinds", "refused"):
            sums[name] = Counter(sums[name])
        sums["divergences"] = [(number, what, text) for number, what, text in sums["divergences"]]
        self.sums, self.done = Sums(**sums), {n for start, end in data["done"] for n in range(start, end)}

    def missing(self) -> Iterator[int]:
        """The numbers of batches that were not played, from the first on, without end."""
        return (number for number in count() if number not in self.done)

    def add(self, number: int, sums: Sums) -> None:
        """Count a batch, and write it down."""
        self.done.add(number)
        self.sums.add(sums)
        if self.path is None:
            return
        data = {"digest": self._digest, "seed": self.seed, "done": _ranges(self.done), "sums": vars(self.sums)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.write_text(json.dumps(data), encoding="utf-8")
        os.replace(fresh, self.path)


def _ranges(numbers: set[int]) -> list[tuple[int, int]]:
    """A set of numbers as ranges (first, first behind)."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number:
            ranges[-1] = ranges[-1][0], number + 1
        else:
            ranges.append((number, number + 1))
    return ranges


def played(record: Record, steps: int, workers: int) -> Iterator[None]:
    """Play batches on so many processes until the record holds ``steps`` operations; yields after each."""
    if record.sums.operations >= steps:
        return
    if workers == 1:
        for number in record.missing():
            record.add(number, play(record.seed, number * BATCH, BATCH))
            yield
            if record.sums.operations >= steps:
                return
    with working(workers) as pool:
        numbers = record.missing()
        running: dict[Future[Sums], int] = {}
        while record.sums.operations < steps or running:
            while len(running) < workers and record.sums.operations < steps:
                number = next(numbers)
                running[pool.submit(play, record.seed, number * BATCH, BATCH)] = number
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                record.add(running.pop(future), future.result())
                yield
