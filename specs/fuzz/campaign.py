"""Fuzzing by several processes side by side, each with a seed of its own."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from capkernel.tools.sources import digest

WORKER = "specs.fuzz.worker"
JUDGED = ("capkernel/abi", "capkernel/kernel", "specs/fuzz", "specs/invariants", "specs/programs")
"""Whose sources a record belongs to."""
ROUND = 10_000
"""Steps."""
STRIDE = 1_000_003
"""So many rounds belong to one seed."""


class WorkerError(Exception):
    """A process ended in a way that is no result; its last words are the message."""


@dataclass
class Sums:
    """What has been done. ``kinds`` counts kernel entries by what was asked and answered, ``seconds`` are all workers'.

    ``found`` is the first finding, as a worker said it: data (in hexadecimal), problem, operations, script.
    """

    programs: int = 0
    steps: int = 0
    entries: int = 0
    seconds: float = 0.0
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)
    found: dict[str, Any] | None = None

    def add(self, said: dict[str, Any]) -> None:
        """Add what a worker said of a round."""
        self.programs += said["programs"]
        self.steps += said["steps"]
        self.entries += said["entries"]
        self.seconds += said["seconds"]
        for asked, answer, count in said["kinds"]:
            self.kinds[asked, answer] += count


@dataclass(frozen=True)
class Plan:
    """What is to be done: ``steps`` in rounds, each with a seed of its own, so that workers do not matter.

    ``every`` is the interval of checking, 0 for none. libFuzzer ends its process, so each worker has one round then.
    """

    engine: str
    seed: int
    steps: int
    every: int
    corpus: str | None = None
    bug: str | None = None
    workers: int = 1

    def rounds(self) -> list[tuple[int, int, int]]:
        """Number, seed and steps of each."""
        size = ROUND if self.engine != "atheris" else -(-self.steps // self.workers)
        count = -(-self.steps // size)
        return [(n, self.seed * STRIDE + n, min(size, self.steps - n * size)) for n in range(count)]


class Record:
    """The rounds that are done, in a file to go on from; none is kept if there is no file.

    A record is of one seed, engine and interval, and of one state of the sources. Raises ValueError, KeyError,
    TypeError or OSError if the file is no record.
    """

    def __init__(self, path: Path | None, plan: Plan) -> None:
        self._path = path
        self._of = {"engine": plan.engine, "seed": plan.seed, "every": plan.every, "sources": digest(JUDGED)}
        self.rounds: dict[int, dict[str, Any]] = {}
        self.outdated = False
        if path is not None and path.exists():
            kept = json.loads(path.read_text())
            self.outdated = kept["of"] != self._of
            if not self.outdated:
                self.rounds = {int(number): sums for number, sums in kept["rounds"].items()}

    def has(self, number: int, _seed: int, steps: int) -> bool:
        """Whether a round was done, of so many steps."""
        return number in self.rounds and self.rounds[number]["steps"] >= steps

    def keep(self, number: int, sums: dict[str, Any]) -> None:
        """Write down a round."""
        self.rounds[number] = sums
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps({"of": self._of, "rounds": self.rounds}))
            new.replace(self._path)


Said = tuple[int, dict[str, Any] | None]
"""A worker's number, and what it said; None when it has nothing more to say."""


def fuzzed(plan: Plan, record: Record, progress: Callable[[int], None]) -> Sums:
    """Do what is left of a plan, by as many workers as it says; the first finding ends it. Raises WorkerError.

    One worker finds the same each time; of several, whichever is first. ``progress`` is told of steps.
    """
    sums, rounds = Sums(), plan.rounds()
    left = [each for each in rounds if not record.has(*each)]
    for each in rounds:
        if each not in left:
            sums.add(record.rounds[each[0]])
    said_by: SimpleQueue[Said] = SimpleQueue()
    shares = [left[number :: plan.workers] for number in range(min(plan.workers, len(left)))]
    processes = [
        _started(number, [plan.engine, share, plan.every, plan.corpus, plan.bug], said_by)
        for number, share in enumerate(shares)
    ]
    try:
        _collect(processes, said_by, sums, record, progress)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return sums


def _started(number: int, task: list[Any], said: "SimpleQueue[Said]") -> "subprocess.Popen[str]":
    """A worker, and a thread that passes on what it says."""
    command = [sys.executable, "-m", WORKER, json.dumps(task)]
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )  # fmt: skip

    def listen() -> None:
        for line in process.stdout or ():
            said.put((number, json.loads(line)))
        said.put((number, None))

    Thread(target=listen, daemon=True).start()
    return process


def _collect(
    processes: "list[subprocess.Popen[str]]", said_by: "SimpleQueue[Said]", sums: Sums, record: Record,
    progress: Callable[[int], None],
) -> None:  # fmt: skip
    under_way, finished = [0] * len(processes), 0
    while finished < len(processes):
        number, what = said_by.get()
        if what is None:
            if processes[number].wait():
                raise WorkerError(_last_words(processes[number]))
            finished += 1
            continue
        under_way[number] = what.get("steps", 0)
        if "found" in what:
            sums.found = what["found"]
        if "sums" in what:
            sums.add(what["sums"])
            if sums.found is not None:
                return
            record.keep(what["round"], what["sums"])
        progress(sums.steps + sum(under_way))


def _last_words(process: "subprocess.Popen[str]") -> str:
    """Of a process that ended too early: its last exception's own words, which may be several lines."""
    complaint = (process.stderr.read() if process.stderr else "").strip()
    at = complaint.rfind("Error: ")
    return complaint[at + 7 :] if at >= 0 else complaint or f"exit status {process.wait()}"
