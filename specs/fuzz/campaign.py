"""Fuzzing by several processes side by side, each with a seed of its own."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
from typing import Any

WORKER = "specs.fuzz.worker"
STRIDE = 1_000_003
"""From the seed of one worker to that of the next."""


class WorkerError(Exception):
    """A process ended in a way that is no result; its last words are the message."""


@dataclass
class Sums:
    """What all workers have done. ``kinds`` counts kernel entries by what was asked and answered.

    ``found`` is the first finding, as a worker said it: data (in hexadecimal), problem, operations, script. ``seconds``
    are those of the worker that took longest.
    """

    programs: int = 0
    steps: int = 0
    entries: int = 0
    seconds: float = 0.0
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)
    found: dict[str, Any] | None = None

    def add(self, said: dict[str, Any]) -> None:
        """Add one worker's sums."""
        self.programs += said["programs"]
        self.steps += said["steps"]
        self.entries += said["entries"]
        self.seconds = max(self.seconds, said["seconds"])
        for asked, answer, count in said["kinds"]:
            self.kinds[asked, answer] += count


Said = tuple[int, dict[str, Any] | None]
"""A worker's number, and what it said; None when it has nothing more to say."""


def fuzzed(
    engine: str, seed: int, steps: int, every: int, corpus: str | None, bug: str | None, workers: int,
    progress: Callable[[int], None],
) -> Sums:  # fmt: skip
    """Let so many workers take the steps; the first finding ends it. Raises WorkerError.

    One worker finds the same each time; of several, whichever is first.
    """
    shares = [steps // workers + (number < steps % workers) for number in range(workers)]
    tasks = [[engine, seed + STRIDE * n, share, every, corpus, bug] for n, share in enumerate(shares) if share]
    said: SimpleQueue[Said] = SimpleQueue()
    processes = [_started(number, task, said) for number, task in enumerate(tasks)]
    try:
        return _collected(processes, said, progress)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


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


def _collected(
    processes: "list[subprocess.Popen[str]]", said: "SimpleQueue[Said]", progress: Callable[[int], None]
) -> Sums:  # fmt: skip
    sums, done, finished = Sums(), [0] * len(processes), 0
    while finished < len(processes):
        number, what = said.get()
        if what is None:
            raise WorkerError(_last_words(processes[number]))
        if "found" in what:
            sums.found = what["found"]
        if "sums" in what:
            sums.add(what["sums"])
            finished += 1
            if sums.found is not None:
                break
        done[number] = what.get("steps", done[number])
        progress(sum(done))
    return sums


def _last_words(process: "subprocess.Popen[str]") -> str:
    """Of a process that ended too early: its last exception's own words, which may be several lines."""
    complaint = (process.stderr.read() if process.stderr else "").strip()
    at = complaint.rfind("Error: ")
    return complaint[at + 7 :] if at >= 0 else complaint or f"exit status {process.wait()}"
