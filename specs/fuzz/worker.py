"""A process that fuzzes. It is told what to do in one JSON object and says what comes of it, one JSON object a line.

``python -m specs.fuzz.worker JSON`` with {"engine", "seed", "steps", "every", "corpus", "plant"} says {"steps": n} now
and then, perhaps {"found": …}, and at last {"sums": …}. What is planted must be so before the kernel is imported, and
what atheris watches as it is imported; so this module imports neither at first.
"""

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


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def work(engine: str, seed: int, steps: int, every: int, corpus: str | None, bug: str | None) -> None:
    """Fuzz, and say what came of it."""
    if bug is not None:
        plant(BUGS[bug])
    # Only from here on, as this imports the kernel.
    with instrumented() if engine == "atheris" else nullcontext():
        from specs.fuzz.engines import ENGINES, FoundError, Task
        from specs.fuzz.running import Checking, Runner, finding

    checking = Checking(every)
    runner = Runner(checking)
    begin = last = time.perf_counter()

    def told() -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last > _EVERY:
            last = now
            _say({"steps": runner.steps})

    def end(found: FoundError | None) -> None:
        seconds = time.perf_counter() - begin
        if found is not None:
            shown = finding(found.data, found.execution, checking)
            _say({"found": asdict(shown) | {"data": found.data.hex()}})
        kinds = [[*kind, count] for kind, count in sorted(runner.coverage.kinds.items())]
        sums = {"programs": runner.programs, "steps": runner.steps, "entries": runner.entries, "kinds": kinds}
        _say({"sums": sums | {"seconds": seconds}})
        sys.stdout.flush()
        os._exit(0)

    task = Task(runner, seed, steps, None if corpus is None else Path(corpus), told, end)
    try:
        ENGINES[engine](task)
    except FoundError as found:
        end(found)
    end(None)


if __name__ == "__main__":
    work(*json.loads(sys.argv[1]))
