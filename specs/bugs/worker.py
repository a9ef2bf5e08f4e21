"""A process in which one defect is planted and hunted: ``python -m specs.bugs.worker ROW SEED STEPS``.

Speaks JSON, one object a line: {"steps": n} now and then, at last {"found": …, "shrunk": …} or {"missed": n}. The row
``clean`` plants nothing.
"""

import json
import sys
import time
from dataclasses import asdict
from typing import Any

from specs.bugs.catalogue import BUGS
from specs.bugs.hook import plant

CLEAN = "clean"
_EVERY = 0.5
"""Seconds between two notes of progress."""


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


class _Progress:
    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, steps: int) -> None:
        if time.monotonic() - self._last > _EVERY:
            self._last = time.monotonic()
            _say({"steps": steps})


def work(row: str, seed: int, most_steps: int, first: int = 0) -> None:
    """Plant, hunt from program ``first`` of the seed on, shrink, and say what came of it."""
    if row != CLEAN:
        plant(BUGS[row])
    # Only now, as this imports the kernel.
    from specs.bugs.hunt import hunt, shrunk

    found = hunt(seed, most_steps, first=first, progress=_Progress())
    if found is None:
        _say({"missed": most_steps})
    else:
        _say({"found": asdict(found)})
        _say({"shrunk": asdict(shrunk(found))})


if __name__ == "__main__":
    work(sys.argv[1], *map(int, sys.argv[2:]))
