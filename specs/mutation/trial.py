"""Trying a mutant: in a forked process cases run one after another until one notices something.

A case is allowed a multiple of the processor time that it takes with the kernel as it is. The child says over a pipe
what it begins and what it found; a child that is killed by its timer was in the case that it began last.
"""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from specs.mutation.cases import Case
from specs.mutation.graft import graft
from specs.mutation.mutants import Mutant
from specs.mutation.verdict import KILLED, SAME, SURVIVED, TIMED_OUT, VERDICTS, Verdict

SLOWER, AT_LEAST = 10, 1.0
"""A case may take so many times what it takes with the clean kernel, and so many seconds of processor time anyway."""
MEMORY = 2 << 30
"""So many bytes more than it begins with may a child use."""
SILENCE = 120.0
"""Seconds of real time after which a child that says nothing is taken for hanging."""
DEFINITION = "definition"
"""What kills a mutant that cannot even be defined."""


@dataclass(frozen=True)
class Candidate:
    """A case, and the seconds of processor time that it takes with the clean kernel."""

    case: Case
    seconds: float


class Trial:
    """A child process that tries one mutant; ``fileno`` can be waited for, ``proceed`` takes what it has said.

    It stops after so many ``seconds`` of processor time, too.
    """

    def __init__(self, mutant: Mutant, candidates: Sequence[Candidate], seconds: float) -> None:
        self.mutant = mutant
        self._candidates = candidates
        self._said = b""
        self._begun = time.monotonic()
        self._heard = self._begun
        reader, writer = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self._child = os.fork()
        if self._child == 0:
            os.close(reader)
            alone(lambda: _try(mutant, candidates, seconds, writer))
        os.close(writer)
        self._reader = reader

    def fileno(self) -> int:
        """The pipe's end."""
        return self._reader

    @property
    def hangs(self) -> bool:
        """Whether nothing was heard of it for too long."""
        return time.monotonic() - self._heard > SILENCE

    def proceed(self) -> Verdict | None:
        """Take what it says; the verdict, once it has ended."""
        said = os.read(self._reader, 1 << 16)
        self._heard = time.monotonic()
        self._said += said
        return None if said else self._verdict()

    def stop(self) -> Verdict:
        """End it; it took too long."""
        os.kill(self._child, signal.SIGKILL)
        return self._verdict(hung=True)

    def _verdict(self, *, hung: bool = False) -> Verdict:
        os.close(self._reader)
        _, status, used = os.wait4(self._child, 0)
        seconds = round(used.ru_utime + used.ru_stime, 3)
        words = self._said.decode(errors="replace").split("\0")
        last = next((int(word) for word in reversed(words) if word.isdigit()), None)
        number = 0 if last is None else last + 1
        name = DEFINITION if last is None else self._candidates[last].case.name
        ended = next((word for word in words if word.startswith(VERDICTS)), None)
        if ended is not None:
            verdict, _, why = ended.partition(": ")
            return Verdict(verdict, name if verdict == KILLED else "", why, number, seconds)
        signalled = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if hung or signalled == signal.SIGPROF:
            return Verdict(TIMED_OUT, name, "", number, seconds)
        why = f"the process ended with status {os.waitstatus_to_exitcode(status)}"
        return Verdict(KILLED, name, why, number, seconds)


def alone(work: Callable[[], None]) -> NoReturn:
    """Do something in a child process, which ends with it; nobody reads what it prints."""
    status = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        work()
        status = 0
    finally:
        os._exit(status)


def _try(mutant: Mutant, candidates: Sequence[Candidate], seconds: float, writer: int) -> None:
    _limit_memory()
    try:
        changed = graft(mutant)
    except Exception as error:
        _say(writer, f"{KILLED}: {type(error).__name__}: {error}")
        return
    if not changed:
        _say(writer, SAME)
        return
    for number, candidate in enumerate(candidates):
        if time.process_time() > seconds:
            break
        _say(writer, str(number))
        signal.setitimer(signal.ITIMER_PROF, max(AT_LEAST, SLOWER * candidate.seconds))
        problem = judged(candidate.case)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if problem is not None:
            _say(writer, f"{KILLED}: {problem[:300]}")
            return
    _say(writer, SURVIVED)


def judged(case: Case) -> str | None:
    """What a case finds wrong, if anything; what it raises is."""
    try:
        return case.run()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _say(writer: int, words: str) -> None:
    os.write(writer, words.replace("\0", "").encode() + b"\0")


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
