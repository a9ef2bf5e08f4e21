"""Systems that are booted once and played often: each batch in a copy of the process in which its system waits, warm.

What a batch does, to its system or to the process (programs that are spoilt may want all memory), ends with the copy.
"""

import gc
import json
import os
import resource
import traceback
from functools import cache
from pathlib import Path
from typing import Any, Final

from capkernel.tools.campaign.batch import Batch, Failed, Harm, Result
from capkernel.tools.campaign.subjects import COMPILED, SUBJECTS

MEMORY: Final = 1 << 31
"""Bytes that a batch may want besides what there is: then a program gets a MemoryError, as on a small machine."""
SECONDS: Final = 600
"""Of processor time that a batch may take."""


@cache
def _warm(subject: str, compiled: Path) -> Batch:
    """The system, ready; once a process."""
    batch = Batch(SUBJECTS[subject], compiled)
    batch.warm_up()
    gc.collect()
    gc.freeze()
    return batch


def play(subject: str, number: int, spoilt: bool, compiled: Path = COMPILED) -> dict[str, Any]:
    """Play a batch in a copy of this process; what came of it, as plain data."""
    batch = _warm(subject, compiled)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _answer(batch, number, spoilt, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        answer = answers.read()
    _, status = os.waitpid(child, 0)
    if status or not answer:
        failed = Failed(-1, "all", "the batch", Harm.GAVE_UP, f"its process ended with status {status}")
        return Result(failed=[failed]).data()
    result: dict[str, Any] = json.loads(answer)
    return result


def _answer(batch: Batch, number: int, spoilt: bool, writer: int) -> None:
    """In the copy: play, tell, and end, whatever happens."""
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
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
