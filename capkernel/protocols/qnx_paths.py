"""Paths, and the resource managers behind them, as QNX has them: who serves what is found by the longest prefix."""

from abc import abstractmethod
from enum import Enum
from typing import Final

from attrs import frozen

from capkernel.protocols.interface import Cap, Interface, operation

MAX_PATH: Final = 255
"""Bytes of a path in UTF-8."""
MAX_DATA: Final = 512
"""Bytes that are read or written at a time."""


class Place(Enum):
    """Before or behind what is attached at the same path already (``_RESMGR_FLAG_BEFORE``, ``_RESMGR_FLAG_AFTER``)."""

    BEFORE = "before"
    AFTER = "after"


class Access(Enum):
    """What a resource is opened for."""

    READ = "read"
    WRITE = "write"
    READ_WRITE = "read and write"


@frozen
class Candidate:
    """A resource manager that may know a path: the number of its attachment, and the rest of the path."""

    number: int
    rest: str


class OpenResource(Interface, number=92):
    """A session with a resource: what one ``open`` gave (an open control block). It has a position of its own."""

    @operation(1)
    @abstractmethod
    async def read(self, size: int) -> bytes:
        """At most so many bytes from the position on, which moves; none at the end. Malformed, NotPermitted."""

    @operation(2)
    @abstractmethod
    async def write(self, data: bytes) -> int:
        """Write at the position, which moves; how many bytes were written. NotPermitted, NoSpace, TooLarge."""

    @operation(3)
    @abstractmethod
    async def seek(self, position: int) -> None:
        """Move the position, in bytes from the start. Malformed."""

    @operation(4)
    @abstractmethod
    async def devctl(self, command: int, data: bytes) -> bytes:
        """Something that is particular to the resource. Unsupported."""


class Resource(Interface, number=91):
    """What a resource manager attaches to a path."""

    @operation(1)
    @abstractmethod
    async def open(self, rest: str, access: Access) -> OpenResource:
        """Open what is at the rest of the path, "" for the path itself. NotFound, NotPermitted."""


class PathManager(Interface, number=93):
    """Paths. One is absolute, of names without "." and "..", at most 255 bytes; else Malformed."""

    @operation(1)
    @abstractmethod
    async def attach(self, path: str, resource: Cap, place: Place, is_directory: bool, is_opaque: bool) -> int:
        """Serve a path, with all below it if it is a directory; the number of the attachment. If it is opaque, shorter
        paths are not tried for what is below it. NotPermitted to most; QuotaExceeded.
        """

    @operation(2)
    @abstractmethod
    async def detach(self, number: int) -> None:
        """Serve it no more; sessions that were opened go on. NotFound, also if it is another's."""

    @operation(3)
    @abstractmethod
    async def candidates(self, path: str) -> list[Candidate]:
        """Who may know the path: those with the longest prefix first, at most 8. None if nobody does."""

    @operation(4)
    @abstractmethod
    async def resource(self, number: int) -> Cap:
        """The resource of an attachment. NotFound if it was detached meanwhile."""
