"""Systems that are booted once and played often: each batch in a copy of the process in which its system waits, warm.

What a batch does, to its system or to the process (programs that are spoilt may want all memory), ends with the copy.
If it takes more memory or processor time than it may, or ends the process, that is the batch's failure. If the host
ends the process (an operator, or a host without memory), that says nothing of the batch.
"""

import gc
import json
import os
import resource
import signal
import traceback
from functools import cache
from pathlib import Path
from typing import Any, Final

from capkernel.tools.campaign.batch import Batch, Failed, Result
from capkernel.tools.campaign.harms import Harm
from capkernel.tools.campaign.subjects import COMPILED, SUBJECTS

MEMORY: Final = 1 << 31
"""Bytes that a batch may want besides what there is: then a program gets a MemoryError, as on a small machine."""
SECONDS: Final = 600
"""Of processor time that a batch may take."""
GRACE: Final = 10
"""Seconds after which a process is killed that goes on after its time is up."""
_OWN: Final = frozenset((
    signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS, signal.SIGTRAP,
))  # fmt: skip
"""Signals that a process gets for what it does itself."""


class HostKilled(Exception):
    """The host ended a batch's process, for reasons of its own."""


@cache
def _warm(subject: str, compiled: Path) -> Batch:
    """The system, ready; once a process."""
    batch = Batch(SUBJECTS[subject], compiled)
    batch.warm_up()
    gc.collect()
    gc.freeze()
    return batch


def play(subject: str, number: int, spoilt: bool, compiled: Path = COMPILED) -> dict[str, Any]:
    """Play a batch in a copy of this process; what came of it, as plain data. Raises HostKilled."""
    batch = _warm(subject, compiled)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _answer(batch, number, spoilt, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        answer = answers.read()
    _, status, used = os.wait4(child, 0)
    if status or not answer:
        reason = _why(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime)
        return Result(failed=[Failed(-1, "all", "the batch", Harm.GAVE_UP, reason)]).data()
    result: dict[str, Any] = json.loads(answer)
    return result


def _why(status: int, seconds: float) -> str:
    """Why a batch's process ended without an answer, after so much processor time. Raises HostKilled.

    Who goes on when its time is up is killed by the same signal as by an operator.
    """
    if status >= 0:
        return f"its process ended with status {status}"
    number = -status
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number == signal.SIGXCPU or seconds >= SECONDS:
        return f"its process was ended by {name}, after the {SECONDS} s of processor time that it may take"
    if number in _OWN:
        return f"its process was ended by {name}"
    raise HostKilled(f"the host ended its process by {name}, after {seconds:.1f} s of processor time")


def _answer(batch: Batch, number: int, spoilt: bool, writer: int) -> None:
    """In the copy: play, tell, and end, whatever happens."""
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + GRACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        batch.stage.system.machine.memory.separate()
        data = json.dumps(batch.play(number, spoilt=spoilt).data()).encode()
        with os.fdopen(writer, "wb") as answers:
            answers.write(data)
    except BrokenPipeError:
        # Nobody waits for the answer: the campaign was stopped.
        os._exit(1)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
