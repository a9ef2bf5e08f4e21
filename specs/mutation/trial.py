"""Trying a mutant: one case after another, each in a process forked for it, until one notices something.

So no case finds what another has left behind. A case is allowed a multiple of the processor time that it takes with the
kernel as it is; its process says over a pipe what it found.
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
from specs.programs import worlds

SLOWER, AT_LEAST = 10, 1.0
"""A case may take so many times what it takes with the clean kernel, and so many seconds of processor time anyway."""
MEMORY = 4 << 30
"""So many bytes more than it begins with may a child have for itself. The RAM of machines, which is shared memory, does
not count: cases map whole machines of gigabytes, dozens at a time, and touch little of them."""
SILENCE = 120.0
"""Seconds of real time after which a child that says nothing is taken for hanging."""
DEFINITION, UNDEFINED = "definition", "cannot be defined: "
"""What kills a mutant that cannot even be defined, and how that is said."""


@dataclass(frozen=True)
class Candidate:
    """A case, and the seconds of processor time that it takes with the clean kernel."""

    case: Case
    seconds: float


class Trial:
    """One mutant being tried; ``fileno`` can be waited for, ``proceed`` takes what the process of a case has said.

    After so many ``seconds`` of processor time no more cases are begun.
    """

    def __init__(self, mutant: Mutant, candidates: Sequence[Candidate], seconds: float) -> None:
        self.mutant = mutant
        self._candidates = [*candidates]
        self._allowed = seconds
        self._begun = 0
        self._spent = 0.0
        self._begin()

    def _begin(self) -> None:
        """Begin the next case; without any, only see whether the mutant can be defined."""
        candidate = self._candidates[self._begun] if self._candidates else None
        self._begun += 1
        self._said = b""
        self._heard = time.monotonic()
        self._reader, writer = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._reader)
            alone(lambda: _try(self.mutant, candidate, writer))
        os.close(writer)

    def fileno(self) -> int:
        """The pipe's end."""
        return self._reader

    @property
    def hangs(self) -> bool:
        """Whether nothing was heard of the case for too long."""
        return time.monotonic() - self._heard > SILENCE

    def proceed(self) -> Verdict | None:
        """Take what was said; the verdict, once there is one."""
        said = os.read(self._reader, 1 << 16)
        self._said += said
        return None if said else self._ended()

    def abandon(self) -> None:
        """End it without a verdict."""
        os.kill(self._child, signal.SIGKILL)
        os.close(self._reader)
        os.waitpid(self._child, 0)

    def stop(self) -> Verdict | None:
        """End the case; it took too long."""
        os.kill(self._child, signal.SIGKILL)
        return self._ended(hung=True)

    def _ended(self, *, hung: bool = False) -> Verdict | None:
        os.close(self._reader)
        _, status, used = os.wait4(self._child, 0)
        self._spent += used.ru_utime + used.ru_stime
        verdict, _, why = self._said.decode(errors="replace").partition(": ")
        if hung or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF):
            verdict, why = TIMED_OUT, ""
        elif verdict not in VERDICTS:
            verdict, why = KILLED, f"the process ended with status {os.waitstatus_to_exitcode(status)}"
        if verdict == SURVIVED and self._begun < len(self._candidates) and self._spent < self._allowed:
            self._begin()
            return None
        by = ""
        if verdict in (KILLED, TIMED_OUT):
            unjudged = why.startswith(UNDEFINED) or not self._candidates
            by = DEFINITION if unjudged else self._candidates[self._begun - 1].case.name
        return Verdict(verdict, by, why, min(self._begun, len(self._candidates)), round(self._spent, 3))


def alone(work: Callable[[], None]) -> NoReturn:
    """Do something in a child process, which ends with it; nobody reads what it prints."""
    status = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        worlds.separate()
        work()
        status = 0
    finally:
        os._exit(status)


def _try(mutant: Mutant, candidate: Candidate | None, writer: int) -> None:
    limit_memory()
    try:
        changed = graft(mutant)
    except Exception as error:
        _say(writer, f"{KILLED}: {UNDEFINED}{type(error).__name__}: {error}")
        return
    if not changed:
        _say(writer, SAME)
        return
    problem = None
    if candidate is not None:
        signal.setitimer(signal.ITIMER_PROF, max(AT_LEAST, SLOWER * candidate.seconds))
        problem = judged(candidate.case)
        signal.setitimer(signal.ITIMER_PROF, 0)
    _say(writer, SURVIVED if problem is None else f"{KILLED}: {problem[:300]}")


def judged(case: Case) -> str | None:
    """What a case finds wrong, if anything; what it raises is."""
    try:
        return case.run()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _say(writer: int, words: str) -> None:
    os.write(writer, words.encode(errors="replace"))


def limit_memory() -> None:
    """Keep this process from having more than it may."""
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))
