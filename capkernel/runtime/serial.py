"""Input for the serial line while a system runs: from a file, or from a terminal in the user's own time.

A machine takes bytes in only when it is polled. Here that happens each ``POLL_TICKS`` of virtual time, so the same
file gives the same run. When nothing else can happen the system waits for the input, and its clock with it.
"""

import errno
import os
import select
import stat
from collections.abc import Callable

from capkernel.runtime.loop import Loop

POLL_TICKS = 10_000
"""A millisecond."""


class SerialInput:
    """A file descriptor to read from; ``read`` never waits, ``wait`` does. Raises OSError if it is a directory."""

    def __init__(self, fd: int) -> None:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        self.fd = fd
        self.ended = False
        self._is_file = stat.S_ISREG(mode)

    def read(self, limit: int) -> bytes:
        """At most ``limit`` bytes that are there."""
        if self.ended or limit <= 0 or not self._is_ready(0):
            return b""
        data = os.read(self.fd, limit)
        self.ended = not data
        return data

    def wait(self) -> None:
        """Until there is a byte, or the end of the input."""
        self._is_ready(None)

    def _is_ready(self, timeout: float | None) -> bool:
        return self._is_file or bool(select.select([self.fd], [], [], timeout)[0])


def run_with_input(loop: Loop, source: SerialInput, is_started: Callable[[], bool], until: int | None = None) -> str:
    """Run a loop whose machine's serial line reads from ``source``; returns why it stopped, as ``Loop.run``.

    Nothing arrives before the system is started, nor once it waits for something else with its receiver full.
    """
    machine = loop.machine
    while True:
        target = machine.now() + POLL_TICKS
        reason = loop.run(until=target if until is None else min(target, until))
        if reason == "idle" and not source.ended:
            source.wait()
            machine.advance(POLL_TICKS)
            if machine.poll_input() == 0:
                return reason
        elif reason != "time" or (until is not None and machine.now() >= until):
            return reason
        elif is_started():
            machine.poll_input()
