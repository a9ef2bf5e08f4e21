"""Which lines of the kernel each case executes, and how long it takes with the kernel as it is.

Measured by coverage.py, each case in a process of its own under the limits that a trial has, and kept in a file: a case
is measured again when it, the kernel or what both stand on has changed. So every case is a control, too: one that finds
something wrong with the clean kernel, were it only that it has too little memory, can judge no mutant.
"""

import gzip
import json
import os
import pickle
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from capkernel.tools.sources import digest_of
from specs.mutation.cases import Case
from specs.mutation.mutants import KERNEL, ROOT
from specs.mutation.trial import alone, judged, limit_memory

TESTS = ROOT / "tests"
COMMAND_LINE = ROOT / "capkernel" / "cli.py"
"""It judges nothing, and is imported only if `capkernel` began this."""


class Unfit(Exception):
    """A case finds something wrong with the clean kernel."""


@dataclass(frozen=True)
class Measured:
    """What a case does with the clean kernel: seconds of processor time, and module → lines as the bits of a number.

    ``stamp`` names the sources that this is true of.
    """

    stamp: str
    seconds: float
    lines: dict[str, int]

    def executes(self, module: str, lines: int) -> bool:
        """Whether it executes one of these lines (bits of a number)."""
        return bool(self.lines.get(module, 0) & lines)


def bits(lines: Iterable[int]) -> int:
    """Line numbers as the bits of a number."""
    number = 0
    for line in lines:
        number |= 1 << line
    return number


class Sources:
    """Digests of what was imported to run the cases: of the kernel, of all that is no test, and of a test's module."""

    def __init__(self, golden: Path) -> None:
        files = {Path(name) for module in list(sys.modules.values()) if (name := getattr(module, "__file__", None))}
        ours = sorted(path for path in files if path.is_relative_to(ROOT) and ".venv" not in path.parts)
        beside = [path for path in ours if not path.is_relative_to(Path(__file__).parent) or path.stem == "cases"]
        beside = [path for path in beside if path != COMMAND_LINE]
        tests = [path for path in beside if path.is_relative_to(TESTS)]
        recordings = sorted(path for path in golden.iterdir() if path.suffix == ".gz")
        self.kernel = digest_of(path for path in ours if path.is_relative_to(KERNEL) or path.parent.name == "abi")
        self._programs = digest_of([*(path for path in beside if path not in tests), *recordings])
        self._helpers = digest_of(path for path in tests if not path.name.startswith("test_"))
        self.judges = digest_of([*beside, *recordings])

    def stamp(self, case: Case) -> str:
        """Names all that what a case does depends on."""
        test, is_test, _ = case.name.partition("::")
        return self._programs + (self._helpers + digest_of([ROOT / test]) if is_test else "")


class Survey:
    """What is known of the cases, by name. ``path`` is where it is kept."""

    def __init__(self, path: Path, cases: Sequence[Case], sources: Sources) -> None:
        self._path = path
        self.cases = cases
        self._stamps = {case.name: sources.stamp(case) for case in cases}
        self.measured = {
            name: found for name, found in self._read().items() if self._stamps.get(name) == found.stamp
        }  # fmt: skip

    def _read(self) -> dict[str, Measured]:
        if not self._path.exists():
            return {}
        rows = json.loads(gzip.decompress(self._path.read_bytes()))
        for row in rows.values():
            row["lines"] = {module: int(word, 16) for module, word in row["lines"].items()}
        return {name: Measured(**row) for name, row in rows.items()}

    def _write(self) -> None:
        rows = {name: asdict(found) for name, found in self.measured.items()}
        for row in rows.values():
            row["lines"] = {module: f"{word:x}" for module, word in row["lines"].items()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.write_bytes(gzip.compress(json.dumps(rows).encode(), 1))
        os.replace(fresh, self._path)

    def missing(self) -> list[Case]:
        """Cases that are to be measured."""
        return [case for case in self.cases if case.name not in self.measured]

    def complete(self, workers: int) -> Iterator[int]:
        """Measure what is missing, in so many processes; yields 1 for each. Raises Unfit."""
        waiting = self.missing()
        running: list[tuple[int, int, Case]] = []
        while waiting or running:
            while waiting and len(running) < workers:
                running.append((*_measuring(waiting[0]), waiting.pop(0)))
            child, reader, case = running.pop(0)
            problem, seconds, lines = _answer(child, reader)
            if problem is not None:
                raise Unfit(f"{case.name} finds fault with the clean kernel, so it can judge no mutant: {problem}")
            self.measured[case.name] = Measured(self._stamps[case.name], seconds, lines)
            yield 1
        self._write()


_Found = tuple[str | None, float, dict[str, int]]


def _measuring(case: Case) -> tuple[int, int]:
    """Begin to measure a case in a child; its number, and where its answer comes from."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        alone(lambda: _send(writer, _measure(case)))
    os.close(writer)
    return child, reader


def _send(writer: int, found: _Found) -> None:
    with os.fdopen(writer, "wb") as pipe:
        pickle.dump(found, pipe)


def _answer(child: int, reader: int) -> _Found:
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    if not data:
        return f"its process ended with status {os.waitstatus_to_exitcode(status)}", 0.0, {}
    found: _Found = pickle.loads(data)
    return found


def _measure(case: Case) -> _Found:
    from coverage import Coverage  # late, as in ``mutants``

    limit_memory()
    measuring = Coverage(data_file=None, config_file=False, include=[f"{KERNEL}/*"], messages=False)
    begun = time.process_time()
    measuring.start()
    try:
        problem = judged(case)
    finally:
        measuring.stop()
    seconds = round(time.process_time() - begun, 4)
    data = measuring.get_data()
    lines = {_name(path): bits(data.lines(path) or ()) for path in data.measured_files()}
    return problem, seconds, lines


def _name(path: str) -> str:
    return ".".join(Path(path).relative_to(KERNEL).with_suffix("").parts)
