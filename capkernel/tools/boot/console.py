"""The debug console of a booted system: shown, kept, and watched for a text."""

from typing import BinaryIO

from hwmodel.stateful import Saved


class WatchedConsole:
    """Writes to ``sink``, keeps the output, and notes when ``awaited`` has been written."""

    def __init__(self, sink: BinaryIO | None, awaited: str | None) -> None:
        self.output = bytearray()
        self.seen = False
        self._sink = sink
        self._awaited = awaited.encode() if awaited is not None else None

    def write(self, code: int) -> None:
        """Take one byte; lines are flushed."""
        self.output.append(code)
        if self._sink is not None:
            self._sink.write(bytes((code,)))
            if code == 0x0A:
                self._sink.flush()
        if self._awaited is not None and not self.seen:
            self.seen = self.output.endswith(self._awaited)

    def read(self, limit: int) -> bytes:
        """Nothing ever arrives."""
        return b""

    def snapshot(self) -> Saved:
        """What was written stays written."""
        return ()

    def restore(self, saved: Saved) -> None:
        """What was written stays written."""

    @property
    def text(self) -> str:
        """The output as text."""
        return self.output.decode("utf-8", "replace")
