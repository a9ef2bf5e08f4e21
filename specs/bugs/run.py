"""Running the hunt for one row in a process of its own, and what came of it."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

WORKER = "specs.bugs.worker"


@dataclass(frozen=True)
class Outcome:
    """What came of one hunt. ``violated`` is empty, and ``script`` too, if nothing was found in ``steps`` steps.

    ``seed`` and ``number`` name the program that showed it; ``operations`` is what is left of that after shrinking.
    """

    row: str
    steps: int
    seconds: float = 0.0
    seed: int = 0
    number: int = 0
    violated: tuple[str, ...] = ()
    problem: str = ""
    operations: int = 0
    script: str = ""
    mended: bool | None = None
    """Of a row that is as in real seL4: whether its option removes it."""


class WorkerError(Exception):
    """The process ended in a way that is no result, such as an anchor that is gone; its last words are the message."""


def hunted(
    row: str, seed: int, most_steps: int, first: int = 0, progress: Callable[[int], None] | None = None
) -> Outcome:
    """Hunt for a row (``clean``: for anything, in the kernel as it is). Raises WorkerError."""
    return _outcome(row, ["hunt", row, str(seed), str(most_steps), str(first)], progress)


def demonstrated(row: str, seed: int, most_steps: int, progress: Callable[[int], None] | None = None) -> Outcome:
    """Show a row that is as in real seL4, and whether its option mends it. Raises WorkerError."""
    return _outcome(row, ["known", row, str(seed), str(most_steps)], progress)


def _outcome(row: str, task: list[str], progress: Callable[[int], None] | None) -> Outcome:
    command = [sys.executable, "-m", WORKER, *task]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said: dict[str, Any] = {}
        for line in process.stdout:
            said |= json.loads(line)
            if progress is not None and "steps" in said:
                progress(said["steps"])
        complaint = process.stderr.read().strip()
    if process.returncode:
        # The last exception's own words, which may be several lines.
        raise WorkerError(complaint[complaint.rfind("Error: ") + 7 :] or f"exit status {process.returncode}")
    if "missed" in said:
        return Outcome(row, said["missed"])
    found, small = said["found"], said["shrunk"]
    return Outcome(
        row, found["steps"], found["seconds"], found["seed"], found["number"], tuple(found["violated"]),
        found["problem"], small["operations"], small["script"], said["mended"] is None if "mended" in said else None,
    )  # fmt: skip


def shown_again(programs: list[tuple[str, int, int]]) -> dict[str, tuple[str, ...]]:
    """Run one program (row, seed, number) for each row; returns what it violates, by row. Raises WorkerError."""
    arguments = [str(word) for program in programs for word in program]
    command = [sys.executable, "-m", WORKER, "again", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    errors = [f"{line['row']} {line['error']}" for line in said if "error" in line]
    if done.returncode or errors:
        raise WorkerError("\n".join([*errors, done.stderr]))
    return {line["row"]: tuple(line["violated"]) for line in said}
