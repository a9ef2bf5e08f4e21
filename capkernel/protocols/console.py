"""A terminal: lines that anybody may be allowed to write, and keys that go to one holder at a time.

Writing and reading are two caps. Who reads has the *focus*: it can be lent (``lend``), and it comes back when the loan
is closed or revoked.
"""

from abc import abstractmethod
from enum import Enum
from typing import Final

from attrs import frozen

from capkernel.protocols.interface import Interface, operation

MAX_TEXT: Final = 4096
"""Bytes of UTF-8 that are written at a time."""
MAX_LINE: Final = 512
"""Bytes of UTF-8 of a line that is read, of keys that are read at once, and of a prompt."""
INTERRUPT_KEY: Final = "\x03"
END_KEY: Final = "\x04"


class Ending(Enum):
    """How a line that was read came to its end."""

    ENTERED = "entered"
    INTERRUPTED = "interrupted"
    END_OF_INPUT = "end of input"


@frozen
class Line:
    """A line that was read, without what ended it; text only if it was ENTERED."""

    ending: Ending
    text: str


class Console(Interface, number=32):
    """The terminal's output. Lines of several clients are never mixed, nor torn apart by what is being typed."""

    @operation(1)
    @abstractmethod
    async def write(self, text: str) -> None:
        """Put out whole lines, one below the other; a last line without newline is ended.

        Answered when the device has all of it: with ``ServerDied``, how much came out is not known. A control character
        other than newline and tab is shown, not obeyed. TooLarge beyond 4096 bytes, Busy if too many wait already,
        DeviceError if the device takes nothing any more.
        """


class ConsoleInput(Interface, number=33):
    """The terminal's keys, and the line that is being typed. Busy while the focus is lent, Gone when it was taken back.

    The interrupt key (^C) throws away what was typed before it, signals the channel of the console's own input cap, and
    ends the line that is being read.
    """

    @operation(1)
    @abstractmethod
    async def read_line(self, prompt: str) -> Line:
        """Wait for a line, which can be edited: backspace, ^U; ^D in an empty line is the end. TooLarge, Busy."""

    @operation(2)
    @abstractmethod
    async def read_keys(self) -> str:
        """Wait for keys, and take those that there are as they came: unedited, not echoed, ^C and ^D among them."""

    @operation(3)
    @abstractmethod
    async def draw(self, text: str) -> None:
        """Change the line that is being typed: what is put out goes as it is to the terminal, and stays when others
        write lines above it. A newline ends the line. TooLarge beyond 512 bytes since the last newline.
        """

    @operation(4)
    @abstractmethod
    async def set_echo(self, is_on: bool) -> None:
        """Whether lines that are read through this cap are shown while they are typed."""

    @operation(5)
    @abstractmethod
    async def lend(self) -> "ConsoleInput":
        """Give the focus away, as a cap for somebody else, until it is dropped or this cap revoked. Busy if lent."""
