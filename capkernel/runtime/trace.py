"""The kernel's trace: at each entry what went in and what came out, chained into one hash.

Two runs with the same hash made the same system calls at the same times and got the same answers. Threads are named
by the physical addresses of their TCBs, so a hash does not depend on the process that the run was made in, nor on
the CPU model.

A record is 22 words: the kind, cause and value of the trap; the thread that trapped and its a0..a7 and t0, all 0 if it
was an interrupt; the time that the kernel was told last; the thread that runs next, its pc and its a0..a5. The idle
thread is 0, without registers.
"""

import hashlib
import json
import struct
from typing import IO, Any

from capkernel.runtime.loop import Loop
from hwmodel.cpu.trap import INTERRUPTED, Trap

BATCH = 64
FIELDS = (
    "kind", "cause", "value", "thread", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "t0",
    "time", "next", "pc", "r0", "r1", "r2", "r3", "r4", "r5",
)  # fmt: skip
RECORD = struct.Struct(f"<{len(FIELDS)}Q")
TRAP_KINDS = ("ecall", "exception", "page fault", "host", "interrupt")
_NOBODY = (0,) * 10


class Trace:
    """Records a loop's kernel entries from now on.

    ``lines`` is a text file that each record is also written to, as a line of JSON with the names of ``FIELDS``.
    """

    def __init__(self, loop: Loop, lines: IO[str] | None = None) -> None:
        self.state = loop.state
        self.lines = lines
        self.count = 0
        self._chain = hashlib.sha256()
        self._batch: list[bytes] = []
        self._caller: tuple[int, ...] | list[int] = _NOBODY
        loop.before.append(self._before)
        loop.observers.append(self._after)

    def _before(self, trap: Trap) -> None:
        if trap.kind == INTERRUPTED:
            self._caller = _NOBODY
        else:
            thread = self.state.current
            x = thread.registers
            self._caller = [thread.paddr, *x[10:18], x[5]]

    def _after(self, trap: Trap) -> None:
        state = self.state
        thread = state.current
        x = thread.registers
        self._batch.append(RECORD.pack(*trap, *self._caller, state.time, thread.paddr, x[33], *x[10:16]))
        if len(self._batch) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._batch)
        self._chain.update(data)
        self.count += len(self._batch)
        self._batch.clear()
        if self.lines is not None:
            self.lines.writelines(json.dumps(entry) + "\n" for entry in entries(data))

    def hash(self) -> str:
        """SHA-256 over all records so far, in hexadecimal."""
        self._flush()
        return self._chain.hexdigest()


def entries(data: bytes) -> list[dict[str, Any]]:
    """Records as dictionaries by the names of ``FIELDS``; the kind in words."""
    found = []
    for words in RECORD.iter_unpack(data):
        entry = dict(zip(FIELDS, words, strict=True))
        entry["kind"] = TRAP_KINDS[entry["kind"]]
        found.append(entry)
    return found
