"""Files and directories, each behind a cap of its own. There are no paths: a name is looked up in a directory's cap.

A cap carries rights: ``READ`` (look at it and at what is below), ``WRITE`` (change it, and what is below), ``RESERVE``
(write also into the room that the file system keeps back). What is opened through a cap has no more rights than the
cap, there is no way from a directory to what it lies in, and revoking a cap closes what was opened through it.
"""

from abc import abstractmethod
from enum import Enum
from typing import Final

from attrs import frozen

from capkernel.protocols.failures import Malformed, Unsupported
from capkernel.protocols.interface import Interface, operation

READ: Final = 1
WRITE: Final = 2
READ_WRITE: Final = READ | WRITE
RESERVE: Final = 4
ALL_RIGHTS: Final = READ_WRITE | RESERVE
MAX_NAME: Final = 255
"""Bytes of a name in UTF-8."""
INLINE: Final = 768
"""Bytes that can be read or written at a time without memory shared with the server."""


class Kind(Enum):
    """What a name leads to."""

    FILE = "file"
    DIRECTORY = "directory"


@frozen
class Info:
    """What something is, its size in bytes (of a directory 0), and the rights of the cap that was asked."""

    kind: Kind
    size: int
    rights: int


@frozen
class Entry:
    """A name in a directory."""

    name: str
    kind: Kind
    size: int


@frozen
class Space:
    """Room in a file system, in bytes: what is in use, what one file may still take, and what is kept back for who has
    the right ``RESERVE``. The rest of it all is for directories, and for what was written and not synced.
    """

    total: int
    used: int
    available: int
    reserve: int


class File(Interface, number=2):
    """The content of a file. Needs READ to look and WRITE to change, else NotPermitted.

    What was written is there for every reader at once, and lasts from the next ``sync`` on, whatever crashes.
    """

    @operation(1)
    @abstractmethod
    async def info(self) -> Info:
        """Size and rights."""

    @operation(2)
    @abstractmethod
    async def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``offset`` on; fewer at the end of the file, none beyond."""

    @operation(3)
    @abstractmethod
    async def write(self, offset: int, data: bytes) -> None:
        """Put bytes at ``offset``; a gap before it is filled with zeros. NoSpace if the disk is full."""

    @operation(4)
    @abstractmethod
    async def resize(self, size: int) -> None:
        """Cut off the end, or add zeros."""

    @operation(5)
    @abstractmethod
    async def sync(self) -> None:
        """Make what was written last. When this is answered it survives a crash of anything and a loss of power."""

    @operation(6)
    @abstractmethod
    async def restrict(self, rights: int) -> "File":
        """A cap to the same file with no more than these rights."""


class Directory(Interface, number=3):
    """Names of files and directories. Needs READ to look and WRITE to change, else NotPermitted.

    A name is 1 to 255 bytes of UTF-8 without "/" or zero, and not "." or ".."; else Malformed. What is not there is
    NotFound; what is of the other kind, WrongKind. Names that were made or changed last when the operation is answered.
    """

    @operation(1)
    @abstractmethod
    async def open(self, name: str, rights: int) -> File:
        """A file. NotPermitted if this cap lacks one of the rights."""

    @operation(2)
    @abstractmethod
    async def create(self, name: str) -> File:
        """A new, empty file with the rights of this cap. AlreadyExists, NoSpace."""

    @operation(3)
    @abstractmethod
    async def directory(self, name: str, rights: int) -> "Directory":
        """A directory in this one."""

    @operation(4)
    @abstractmethod
    async def make_directory(self, name: str) -> "Directory":
        """A new directory in this one. AlreadyExists, NoSpace."""

    @operation(5)
    @abstractmethod
    async def list(self, start: int) -> list[Entry]:
        """The names from number ``start`` on, in order, as many as fit into a message; none when there are no more."""

    @operation(6)
    @abstractmethod
    async def info(self, name: str) -> Info:
        """What a name leads to; an empty name means this directory."""

    @operation(7)
    @abstractmethod
    async def remove(self, name: str) -> None:
        """Remove what a name leads to; caps to it lead to nothing then. NotEmpty for a directory with names."""

    @operation(8)
    @abstractmethod
    async def rename(self, name: str, to: "Directory", new_name: str) -> None:
        """Move something, here or into another directory of the same server; a file there is replaced at once.

        AlreadyExists if a directory is there. Open caps lead to what was moved as before.
        """

    @operation(9)
    @abstractmethod
    async def space(self) -> Space:
        """Room in the file system."""

    @operation(10)
    @abstractmethod
    async def restrict(self, rights: int) -> "Directory":
        """A cap to the same directory with no more than these rights."""

    @operation(11)
    async def adopt(self, file: File, rights: int) -> File:
        """Another cap to a file of the same server, opened through this directory's cap. NotPermitted, as ``restrict``.

        Malformed if it is not this server's. Who was handed a file by a stranger asks the server that he trusts first,
        rather than call whoever is behind the cap. Unsupported by servers to which no files are handed.
        """
        raise Unsupported("this server adopts no files")


def checked_name(name: str) -> str:
    """A name that can be one. Raises Malformed."""
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise Malformed(f"{name!r} is no name: one is not empty, '.' or '..', and has no '/' or zero in it")
    if len(name.encode()) > MAX_NAME:
        raise Malformed(f"a name has at most {MAX_NAME} bytes, not {len(name.encode())}")
    return name
