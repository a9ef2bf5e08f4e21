"""Processes in which one defect is planted and hunted. They speak JSON, one object a line.

``python -m specs.bugs.worker hunt ROW SEED STEPS [FIRST]`` says {"steps": n} now and then, at last {"found": …} and
{"shrunk": …}, or {"missed": n}. The row ``clean`` plants nothing.

``python -m specs.bugs.worker known ROW SEED STEPS`` demonstrates a row that is as in real seL4: the same, and then, if
it has an option, {"mended": …}, which is null if that helps for as many steps, else what is violated all the same.

``python -m specs.bugs.worker again ROW SEED PROGRAM [ROW SEED PROGRAM]…`` runs one program for each row and says
{"row": …, "violated": […]}. Each row has a process of its own, forked before the kernel is imported.
"""

import importlib
import json
import os
import sys
import time
from dataclasses import asdict
from typing import Any

from specs.bugs.catalogue import BUGS
from specs.bugs.hook import plant

CLEAN = "clean"
_EVERY = 0.5
"""Seconds between two notes of progress."""
_SHARED = (
    "capkernel.abi.bootinfo", "capkernel.abi.labels", "capkernel.abi.faults", "capkernel.abi.syscalls",
    "capkernel.system", "hwmodel.machine", "hwmodel.board", "hwmodel.cpu.scripted", "hashlib", "random",
)  # fmt: skip
"""What all rows import and none edits."""


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


class _Progress:
    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, steps: int) -> None:
        if time.monotonic() - self._last > _EVERY:
            self._last = time.monotonic()
            _say({"steps": steps})


def hunt_for(row: str, seed: int, most_steps: int, first: int = 0) -> None:
    """Plant, hunt from program ``first`` of the seed on, shrink, and say what came of it."""
    if row != CLEAN:
        plant(BUGS[row])
    # Only now, as this imports the kernel.
    from specs.bugs.hunt import hunt, shrunk, taken

    found = hunt(seed, most_steps, first=first, progress=_Progress())
    if found is None:
        _say({"missed": most_steps})
    else:
        _say({"found": asdict(found)})
        _say({"shrunk": asdict(shrunk(taken(found.seed, found.number).program))})


def show_again(row: str, seed: int, number: int) -> None:
    """In a child process: plant, run one program of a seed, say what it violates."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        if status:
            _say({"row": row, "violated": [], "error": f"ended with status {os.waitstatus_to_exitcode(status)}"})
        return
    plant(BUGS[row])
    from specs.bugs.hunt import taken
    from specs.shrink import violated

    _say({"row": row, "violated": sorted(violated(taken(seed, number)))})
    os._exit(0)


def demonstrate(row: str, seed: int, most_steps: int) -> None:
    """Show a row that is as in real seL4, without its option and with it."""
    from specs.bugs.known import Watching

    watching = Watching(row)
    found = watching.shown(seed, most_steps)
    if found is None:
        _say({"missed": most_steps})
        return
    _say({"found": asdict(found)})
    program = watching.taken(found.seed, found.number, mended=False).program
    _say({"shrunk": asdict(watching.shrunk(program))})
    if not watching.option:
        return
    mended = watching.mended(seed, most_steps)
    _say({"mended": None if mended is None else asdict(mended)})


def main() -> None:
    """Do what the arguments say."""
    task, arguments = sys.argv[1], sys.argv[2:]
    if task == "known":
        demonstrate(arguments[0], *map(int, arguments[1:]))
        return
    if task == "hunt":
        hunt_for(arguments[0], *map(int, arguments[1:]))
        return
    for name in _SHARED:
        importlib.import_module(name)
    for row, seed, number in zip(arguments[::3], arguments[1::3], arguments[2::3], strict=True):
        show_again(row, int(seed), int(number))


if __name__ == "__main__":
    main()
