"""Where the time goes: ``python -m bench.profile [--json] [WHAT]...``, by py-spy (extra ``[bench]``).

py-spy looks from outside, a thousand times a second, at what is executed, so nothing is slowed down and small functions
get no more than they take. Each kind of work runs in a process of its own, which measures its time by itself.
Exit status: 0; 2 wrong usage; 3 py-spy is not there or may not look, so nothing was measured.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from time import process_time

from attrs import frozen
from rich.console import Console
from rich.table import Table

from bench import fuzzing, objects, riscv, threads
from bench.ping_pong import system
from specs.fuzz.running import Checking, Runner

ROOT = Path(__file__).resolve().parent.parent
USAGE, NOT_RUN = 2, 3
RATE = 1000
"""Looks a second."""
SECONDS = 6.0
"""CPU time of the work."""
ENDLESS = 1 << 40
"""Round trips."""
SHOWN = 12
"""Functions in a table."""
LAYERS = {
    "capkernel/kernel/": "kernel", "capkernel/abi/": "kernel", "capkernel/runtime/": "loop",
    "hwmodel/cpu/": "CPU model", "hwmodel/": "machine", "specs/fuzz/": "fuzzing driver",
    "specs/invariants/": "oracle", "specs/": "programs", "bench/": "programs", "hypothesis/": "Hypothesis",
}  # fmt: skip
"""The first that a file's path begins with says what it is of."""
START = "timed"
"""The function in which the work is done; what is outside of it does not count."""
Place = tuple[str, str]
"""A layer, and a function with its file."""


@frozen
class Work:
    """Something to look at: ``run`` does it once, after ``prepare``, and returns how many ``unit`` that was."""

    unit: str
    run: Callable[[], int]
    prepare: Callable[[], object] = int


def _round_trip() -> Work:
    exchange = system()

    def run() -> int:
        exchange.run(max_entries=10_000)
        return 5_000

    return Work("round trip", run)


def _machine_code(*, compiled: bool) -> Work:
    if not riscv.PINGPONG.exists():
        sys.exit(f"there is no {riscv.PINGPONG}; make -C examples/c builds it")
    exchange = riscv.exchange(riscv.PINGPONG, ENDLESS, compiled=compiled)

    def run() -> int:
        exchange.loop.run(max_entries=10_000)
        return 5_000

    run()  # Code is translated once.
    return Work("round trip", run)


def _with_a_cap() -> Work:
    made = [threads.exchange(1)]

    def prepare() -> None:
        # Each cap that comes takes a slot.
        made[:] = [threads.exchange(1)]

    def run() -> int:
        made[0].run(max_entries=2 * threads.ROUNDS)
        return threads.ROUNDS

    return Work("round trip", run, prepare)


def _revoke() -> Work:
    made: list[Callable[[], None]] = []

    def prepare() -> None:
        made[:] = [objects.revocation(10_000, chained=False)]

    def run() -> int:
        made[0]()
        return 10_000

    return Work("cap", run, prepare)


def _fuzzed(every: int) -> Work:
    runner = Runner(Checking(every))

    def run() -> int:
        before = runner.steps
        fuzzing.drawn(runner.run)
        return runner.steps - before

    run()  # Worlds are built once.
    return Work("step", run)


WORKS: dict[str, Callable[[], Work]] = {
    "round-trip": _round_trip, "cap-in-a-message": _with_a_cap, "revoke": _revoke,
    "fuzzed-step": lambda: _fuzzed(0), "checked-step": lambda: _fuzzed(1),
    "machine-code": lambda: _machine_code(compiled=True),
    "machine-code-without-the-shim": lambda: _machine_code(compiled=False),
}  # fmt: skip


@frozen
class Profile:
    """What was seen: ``microseconds`` of CPU time for each ``unit``, and how often each place was executed."""

    name: str
    unit: str
    microseconds: float
    seen: Counter[Place]

    def shares(self) -> list[tuple[str, str, float]]:
        """Layers with nothing for a function, and functions, with the microseconds of each; the longest first."""
        layers: Counter[str] = Counter()
        for (layer, _), count in self.seen.items():
            layers[layer] += count
        each = self.microseconds / (self.seen.total() or 1)
        found = [(layer, "", count * each) for layer, count in layers.most_common()]
        return [*found, *((*place, count * each) for place, count in self.seen.most_common(SHOWN))]


def read(stacks: Iterable[str]) -> Counter[Place]:
    """What py-spy saw: a stack and a count in each line; the innermost function of a layer counts, inside the work."""
    seen: Counter[Place] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        starts = [index for index, frame in enumerate(frames) if frame.startswith(f"{START} (bench/profile.py")]
        places = map(_place, reversed(frames[starts[0] + 1 :])) if starts else iter(())
        place = next((place for place in places if place is not None), None)
        if place is not None:
            seen[place] += int(count)
    return seen


def _place(frame: str) -> Place | None:
    """Where a frame is, as ``function (path:line)``; None if in no layer."""
    function, _, where = frame.partition(" (")
    path = where.rpartition(":")[0]
    path = path[path.rindex("/hypothesis/") + 1 :] if "/hypothesis/" in path else path
    layer = next((layer for start, layer in LAYERS.items() if path.startswith(start)), None)
    return None if layer is None else (layer, f"{Path(path).stem}: {function}")


def measured(work: Work) -> float:
    """Do the work again and again; microseconds for each unit."""
    done, spent = 0, 0.0
    while spent < SECONDS:
        work.prepare()
        start = process_time()
        done += timed(work)
        spent += process_time() - start
    return spent / done * 1e6


def timed(work: Work) -> int:
    """Do the work once, without what is prepared for it."""
    return work.run()


class NothingSeen(Exception):
    """The work was not done, or py-spy may not look; the message says why."""


def look(spy: str, name: str) -> Profile:
    """Let py-spy watch a process that does the work. Raises NothingSeen."""
    with tempfile.TemporaryDirectory() as folder:
        stacks = Path(folder) / "stacks"
        watch = [spy, "record", "--rate", str(RATE), "--format", "raw", "--output", str(stacks), "--"]
        work = [sys.executable, "-m", "bench.profile", "--work", name]
        done = subprocess.run([*watch, *work], capture_output=True, text=True, check=False, cwd=ROOT)
        told = [line for line in done.stdout.splitlines() if line.startswith("[")]
        if done.returncode or not told:
            raise NothingSeen(done.stderr.strip() or f"py-spy ended with {done.returncode}")
        unit, microseconds = json.loads(told[-1])
        return Profile(name, unit, microseconds, read(stacks.read_text().splitlines()))


def show(profile: Profile) -> None:
    """Print a profile as a table."""
    table = Table(title=f"{profile.name}: {profile.microseconds:.2f} µs each {profile.unit}", title_justify="left")
    table.add_column("layer")
    table.add_column("function")
    table.add_column("µs", justify="right")
    table.add_column("share", justify="right")
    for layer, function, microseconds in profile.shares():
        share = f"{100 * microseconds / profile.microseconds:.0f} %"
        table.add_row(layer, function, f"{microseconds:.2f}", share)
    console = Console()
    console.width = max(console.width, 100)
    console.print(table)


def main(arguments: list[str]) -> int:
    """Measure and print."""
    if arguments[:1] == ["--work"]:
        work = WORKS[arguments[1]]()
        print(json.dumps([work.unit, measured(work)]))
        return 0
    names = [name for name in arguments if name != "--json"] or list(WORKS)
    unknown = [name for name in names if name not in WORKS]
    if unknown:
        print(f"{unknown[0]!r} cannot be profiled; there is {', '.join(WORKS)}", file=sys.stderr)
        return USAGE
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if spy is None:
        print("NOT RUN: this needs py-spy: pip install 'capkernel[bench]'", file=sys.stderr)
        return NOT_RUN
    try:
        profiles = [look(spy, name) for name in names]
    except NothingSeen as error:
        print(f"NOT RUN: {error}", file=sys.stderr)
        return NOT_RUN
    if "--json" in arguments:
        found = {each.name: {"microseconds": each.microseconds, "shares": each.shares()} for each in profiles}
        print(json.dumps(found))
        return 0
    for profile in profiles:
        show(profile)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
