"""A terminal's output as the lines that stay, for a file or a pipe."""

from typing import BinaryIO, Final

from hwmodel.backend import Source, TerminalBackend

NEWLINE: Final = 0x0A
ERASED: Final = b"\r\x1b[K"
"""What a terminal is sent to have its last line gone."""


class PlainTerminal(TerminalBackend):
    """Writes a line when it is whole: one that is erased and drawn again, such as a prompt, is there once."""

    __slots__ = ("_line",)

    def __init__(self, sink: BinaryIO, source: Source | None = None) -> None:
        super().__init__(sink, source)
        self._line = bytearray()

    def write(self, code: int) -> None:
        """Take one byte."""
        if code == NEWLINE:
            self._put(bytes(self._line).removesuffix(b"\r") + b"\n")
            return
        self._line.append(code)
        if self._line.endswith(ERASED):
            self._line.clear()

    def finish(self) -> None:
        """What is left is a line, too."""
        if self._line:
            self._put(bytes(self._line) + b"\n")

    def _put(self, line: bytes) -> None:
        self._sink.write(line)
        self._sink.flush()
        self._line.clear()
