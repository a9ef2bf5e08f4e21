"""A process that fuzzes. It is told what to do in one JSON object and says what comes of it, one JSON object a line.

``python -m specs.fuzz.worker JSON`` with a ``Task`` of ``campaign`` says {"steps": n} now and then, {"round", "sums"}
at the end of each round, and {"found": …} before that if something is wrong. What is planted must be so before the
kernel is imported, and what atheris watches as it is imported; so this module imports neither at first.
"""

import gc
import json
import os
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from specs.bugs.catalogue import BUGS
from specs.bugs.hook import plant
from specs.fuzz.installed import instrumented

_EVERY = 0.5
"""Seconds between two notes of progress."""
_RARELY = 100_000
"""So many more containers than were given back are made between two garbage collections: hardly any is in a cycle."""


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def work(engine: str, rounds: list[tuple[int, int, int]], every: int, corpus: str | None, bug: str | None) -> None:
    """Fuzz, and say what came of it. A round has a number, a seed, and the steps to take."""
    if bug is not None:
        plant(BUGS[bug])
    # Only from here on, as this imports the kernel.
    with instrumented() if engine == "atheris" else nullcontext():
        from specs.fuzz.engines import ENGINES, FoundError, Task
        from specs.fuzz.running import Checking, Runner, finding

    gc.set_threshold(_RARELY)
    checking, last = Checking(every), time.perf_counter()
    for number, seed, steps in rounds:
        runner, begin = Runner(checking), time.perf_counter()

        def told(runner: Runner = runner) -> None:
            nonlocal last
            now = time.perf_counter()
            if now - last > _EVERY:
                last = now
                _say({"steps": runner.steps})

        def over(found: FoundError | None, number: int = number, runner: Runner = runner, begin: float = begin) -> None:
            seconds = time.perf_counter() - begin
            if found is not None:
                shown = finding(found.data, found.execution, checking)
                _say({"found": asdict(shown) | {"data": found.data.hex()}})
            kinds = [[*kind, count] for kind, count in sorted(runner.coverage.kinds.items())]
            sums = {"programs": runner.programs, "steps": runner.steps, "entries": runner.entries, "kinds": kinds}
            _say({"round": number, "sums": sums | {"seconds": seconds}})
            if found is not None or engine == "atheris":
                sys.stdout.flush()
                os._exit(0)

        task = Task(runner, seed, steps, None if corpus is None else Path(corpus), told, over)
        try:
            ENGINES[engine](task)
        except FoundError as found:
            over(found)
        over(None)


if __name__ == "__main__":
    work(*json.loads(sys.argv[1]))
