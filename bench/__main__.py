"""``make bench``: every figure, beside its floor in the same process, and beside the compiled build if there is one.

``python -m bench --json`` prints one JSON object, what → microseconds, instead of the table.
"""

import json
import subprocess
import sys
from pathlib import Path

from bench import exchange, exploring, fuzzing, objects, threads
from bench.timing import show

COMPILED = Path(__file__).resolve().parent.parent / "build" / "compiled"
"""Where ``make compiled`` puts its build."""


def main() -> None:
    """Measure and print."""
    if sys.argv[1:] not in ([], ["--json"]):
        sys.exit("usage: python -m bench [--json]")
    figures = [figure for part in (exchange, threads, objects, exploring, fuzzing) for figure in part.figures()]
    if sys.argv[1:]:
        print(json.dumps({figure.name: figure.microseconds for figure in figures}))
        return
    show(figures, _compiled())


def _compiled() -> dict[str, float]:
    """The figures of the compiled build, measured in a process of its own; nothing (and a line) if there is none."""
    if not any((COMPILED / "capkernel" / "kernel").glob("*.so")):
        print("There is no compiled build to compare with; `make compiled` makes one.")
        return {}
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--json"], cwd=COMPILED, env={"PYTHONPATH": str(COMPILED)}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
