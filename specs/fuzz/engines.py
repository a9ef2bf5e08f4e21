"""Where byte strings come from: three engines that feed one runner.

An engine goes on until the runner has taken enough steps or has found something; it raises ``FoundError`` then. What it
reads of the corpus is given; where it may add to it, that is a directory.
"""

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path

from specs.fuzz import corpus
from specs.fuzz.decoder import HEADER
from specs.fuzz.installed import needed
from specs.fuzz.mutation import PROGRAM_STEPS, strings
from specs.fuzz.records import RECORD
from specs.fuzz.running import Runner
from specs.programs import Execution

LONGEST = HEADER + RECORD * PROGRAM_STEPS
"""Bytes."""
SHORTEST = HEADER + RECORD * PROGRAM_STEPS // 4
"""Of Hypothesis' strings: left to itself it draws programs of four or five steps."""
_SEEDS = 64
"""So many made-up strings libFuzzer begins with, if there is no corpus."""
_EXAMPLES = 200
"""So many byte strings are one test for Hypothesis."""


class FoundError(Exception):
    """A byte string shows something wrong."""

    def __init__(self, data: bytes, execution: Execution) -> None:
        super().__init__(execution.problem)
        self.data = data
        self.execution = execution


@dataclass
class Task:
    """What an engine is to do: so many steps from a seed on. ``told`` is called after each byte string.

    ``end`` tells what was found, if anything was, and ends the process if the engine is one that cannot return.
    """

    runner: Runner
    seed: int
    steps: int
    folder: Path | None
    told: Callable[[], None]
    end: Callable[[FoundError | None], None]

    def take(self, data: bytes) -> bool:
        """Run a byte string; true if more are wanted. Raises FoundError."""
        execution = self.runner.run(data)
        self.told()
        if execution.problem is not None:
            raise FoundError(data, execution)
        return self.runner.steps < self.steps


def at_random(task: Task) -> None:
    """A plain pseudo-random generator; strings with a new kind of kernel entry join the corpus."""
    known = [] if task.folder is None else corpus.load(task.folder)
    kinds = task.runner.coverage.kinds
    for data in strings(task.seed, known):
        before = len(kinds)
        more = task.take(data)
        if len(kinds) > before:
            known.append(data)
            if task.folder is not None:
                corpus.keep(task.folder, data)
        if not more:
            return


def by_hypothesis(task: Task) -> None:
    """Hypothesis draws the strings; the corpus is given first."""
    hypothesis = needed("hypothesis")
    known = [] if task.folder is None else corpus.load(task.folder)
    if not all(task.take(data) for data in known):
        return
    seeds = random.Random(task.seed)
    quick = hypothesis.settings(
        max_examples=_EXAMPLES, database=None, deadline=None, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck), print_blob=False,
        backend=import_module("specs.fuzz.drawing").BACKEND,
    )  # fmt: skip

    shown: list[FoundError] = []

    def one(data: bytes) -> None:
        # Hypothesis runs what has failed once more, and wants to see it fail again.
        if not shown and task.runner.steps < task.steps:
            try:
                task.take(data)
            except FoundError as found:
                shown.append(found)
        if shown and shown[0].data == data:
            raise shown[0]

    given = hypothesis.given(hypothesis.strategies.binary(min_size=SHORTEST, max_size=LONGEST))
    while task.runner.steps < task.steps:
        hypothesis.seed(seeds.getrandbits(64))(quick(given(one)))()


def by_atheris(task: Task) -> None:
    """libFuzzer mutates the corpus towards new branches of the kernel; it does not return, but calls ``task.end``.

    The kernel must have been imported in ``needed.instrumented``.
    """
    atheris = needed("atheris")

    def one(data: bytes) -> None:
        try:
            if not task.take(data):
                task.end(None)
        except FoundError as found:
            task.end(found)

    with tempfile.TemporaryDirectory() as temporary:
        folder = task.folder or Path(temporary)
        if not corpus.load(folder):
            for data in islice(strings(task.seed, []), _SEEDS):
                corpus.keep(folder, data)
        arguments = [
            "fuzz", str(folder), f"-seed={task.seed % (1 << 31) or 1}", f"-max_len={LONGEST}",
            "-len_control=0", "-rss_limit_mb=0", "-timeout=600", "-print_final_stats=0", "-verbosity=0",
        ]  # fmt: skip
        atheris.Setup(arguments, one)
        atheris.Fuzz()


ENGINES: dict[str, Callable[[Task], None]] = {
    "random": at_random, "hypothesis": by_hypothesis, "atheris": by_atheris,
}  # fmt: skip
