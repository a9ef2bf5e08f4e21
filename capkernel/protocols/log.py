"""A log: lines that programs write, each with the name of who wrote it, which he cannot choose."""

from abc import abstractmethod
from enum import Enum
from typing import Final

from attrs import frozen

from capkernel.protocols.interface import Interface, operation

MAX_TEXT: Final = 400
"""Bytes of UTF-8 in an entry."""
MAX_NAME: Final = 32
"""Characters of a name that is added to an author's."""


class Level(Enum):
    """How much an entry matters."""

    DEBUG = 0
    INFO = 1
    WARNING = 2
    ERROR = 3


@frozen
class LogEntry:
    """An entry: its number, from 1 on; when it came, in microseconds since the machine was started; who wrote it."""

    number: int
    time_us: int
    level: Level
    author: str
    text: str


class Log(Interface, number=38):
    """A place to write. The author of an entry follows from the cap; a text cannot pass for another entry."""

    @operation(1)
    @abstractmethod
    async def append(self, level: Level, text: str) -> int:
        """Write an entry of at most 400 bytes (TooLarge); its number. QuotaExceeded if it is too soon after others: the
        log says later how many were refused.
        """

    @operation(2)
    @abstractmethod
    async def named(self, name: str) -> "Log":
        """A cap for somebody else, who will be the author "mine/name": 1 to 32 letters, digits, "-" and "_"."""


class LogReader(Interface, number=39):
    """What was written, as far as it is remembered."""

    @operation(1)
    @abstractmethod
    async def tail(self, count: int) -> list[LogEntry]:
        """The last entries, at most ``count``, and as many as fit into a message; the oldest first."""

    @operation(2)
    @abstractmethod
    async def after(self, number: int) -> list[LogEntry]:
        """The entries after that number that are remembered, from the oldest on, as many as fit into a message."""
