"""Where a serial line or the debug console leads to, outside the machine: a buffer, a file, a terminal.

Only a `BufferBackend` can be taken back by restoring a snapshot; what was written to a file or a
terminal stays written, and what was read from there stays read.
"""

import os
import tty
from typing import BinaryIO, Protocol

from hwmodel.stateful import Saved, Stateful


class Backend(Protocol):
    """The far end of a byte stream."""

    def write(self, code: int) -> None:
        """Take one byte that the machine sends."""
        ...

    def read(self, limit: int) -> bytes:
        """Return at most `limit` bytes that have arrived for the machine; none means not yet."""
        ...

    def snapshot(self) -> Saved:
        """Save what can be saved."""
        ...

    def restore(self, saved: Saved) -> None:
        """Restore what can be restored."""
        ...


class Source(Protocol):
    """Where bytes for a machine come from; any binary file is one."""

    def read(self, limit: int, /) -> bytes | None:
        """At most `limit` bytes; none if there are none yet, or no more."""
        ...


class BufferBackend(Stateful):
    """Keeps the output in `output`, and hands out what was put in with `feed`."""

    __slots__ = ("_input", "output")
    STATE = ("_input", "output")

    def __init__(self) -> None:
        self.output = bytearray()
        self._input = b""

    def feed(self, data: bytes) -> None:
        """Queue bytes for the machine to read."""
        self._input += data

    def write(self, code: int) -> None:
        """Append one byte to `output`."""
        self.output.append(code)

    def read(self, limit: int) -> bytes:
        """Take at most `limit` of the queued bytes."""
        taken, self._input = self._input[:limit], self._input[limit:]
        return taken

    @property
    def text(self) -> str:
        """The output as text."""
        return self.output.decode("utf-8", "replace")


class FileBackend(Stateful):
    """Writes to one binary file and reads from another; without the latter nothing ever arrives."""

    __slots__ = ("_sink", "_source")

    def __init__(self, sink: BinaryIO, source: Source | None = None) -> None:
        self._sink = sink
        self._source = source

    def write(self, code: int) -> None:
        """Write one byte; the file's own buffering applies."""
        self._sink.write(bytes((code,)))

    def read(self, limit: int) -> bytes:
        """Read at most `limit` bytes; the end of the file and "not yet" both give none."""
        return (self._source.read(limit) or b"") if self._source else b""


class TerminalBackend(FileBackend):
    """A `FileBackend` that flushes at the end of each line and after each poll for input.

    `source` should be unbuffered and non-blocking, or a read stops the machine until a byte comes.
    """

    __slots__ = ()

    def write(self, code: int) -> None:
        """Write one byte, and flush after a newline."""
        super().write(code)
        if code == 0x0A:
            self._sink.flush()

    def read(self, limit: int) -> bytes:
        """Flush the output, so that a prompt shows, and read at most `limit` bytes."""
        self._sink.flush()
        return super().read(limit)


class PtyBackend(Stateful):
    """A new pseudo-terminal of the host; a terminal program that opens `path` is the far end of the line.

    Output that nobody reads is kept up to 64 KiB and lost beyond. `close` gives the pseudo-terminal back.
    """

    __slots__ = ("_master", "_slave", "_unread", "path")
    LIMIT = 1 << 16

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._unread = bytearray()
        self.path = os.ttyname(self._slave)

    def write(self, code: int) -> None:
        """Write one byte."""
        if len(self._unread) < self.LIMIT:
            self._unread.append(code)
        self._push()

    def read(self, limit: int) -> bytes:
        """Read at most `limit` bytes, and write what had to wait."""
        self._push()
        try:
            return os.read(self._master, limit)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Close both ends."""
        os.close(self._master)
        os.close(self._slave)

    def _push(self) -> None:
        try:
            del self._unread[: os.write(self._master, self._unread)]
        except BlockingIOError:
            return
