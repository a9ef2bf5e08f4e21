"""POSIX, as far as one server can give it: file descriptors, paths, pipes, processes; one object a process.

Results are as a system call's: a number below zero is an error with its sign turned (``Errno``), and where there is
more to be said than a number, ``error`` is 0 or an ``Errno``. After IEEE Std 1003.1 (the base specifications); flags,
whence and errors have the numbers that Linux gives them. What is left out: users and modes (there is one user), links,
signals other than ending a process, ``fork`` (a process is spawned, as by ``posix_spawn``), all that is asynchronous.
"""

from abc import abstractmethod
from enum import IntEnum
from typing import Final

from attrs import frozen

from capkernel.protocols.interface import Interface, operation

O_RDONLY, O_WRONLY, O_RDWR, O_ACCMODE = 0, 1, 2, 3
O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_NONBLOCK, O_DIRECTORY = 0o100, 0o200, 0o1000, 0o2000, 0o4000, 0o200000
KNOWN_FLAGS: Final = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_NONBLOCK | O_DIRECTORY
SEEK_SET, SEEK_CUR, SEEK_END = 0, 1, 2
WNOHANG: Final = 1
SIGKILL, SIGTERM = 9, 15
OPEN_MAX: Final = 64
PATH_MAX: Final = 600
"""Bytes of a path: it travels in a message."""
NAME_MAX: Final = 255
PIPE_BUF: Final = 4096
"""Bytes that a pipe holds."""
MAX_IO: Final = 700
"""Bytes that are read or written at a time; more is cut off, as POSIX allows."""


class Errno(IntEnum):
    """Errors, with Linux's numbers."""

    ENOENT = 2
    ESRCH = 3
    EIO = 5
    ENOEXEC = 8
    EBADF = 9
    ECHILD = 10
    EAGAIN = 11
    ENOMEM = 12
    EACCES = 13
    EBUSY = 16
    EEXIST = 17
    ENOTDIR = 20
    EISDIR = 21
    EINVAL = 22
    EMFILE = 24
    EFBIG = 27
    ENOSPC = 28
    ESPIPE = 29
    EROFS = 30
    EPIPE = 32
    ENAMETOOLONG = 36
    ENOTEMPTY = 39


@frozen
class Data:
    """What was read; nothing at the end of a file, or of a pipe that nobody writes to any more."""

    error: int
    data: bytes = b""


@frozen
class Ends:
    """The ends of a pipe, as file descriptors."""

    error: int
    reading: int = -1
    writing: int = -1


@frozen
class Stat:
    """What a path or a file descriptor leads to, and its size in bytes (0 if it is no file)."""

    error: int
    is_file: bool = False
    is_directory: bool = False
    size: int = 0


@frozen
class Names:
    """Names in a directory, without ``.`` and ``..``, as many as fit into a message; none when there are no more."""

    error: int
    names: list[str]


@frozen
class Where:
    """A path."""

    error: int
    path: str = ""


@frozen
class Ended:
    """A child that has ended: its number (0 with WNOHANG: none has), and its exit code, or the signal that ended it."""

    error: int
    pid: int = 0
    code: int = 0
    signal: int = 0


class Posix(Interface, number=130):
    """The system calls of one process."""

    @operation(1)
    @abstractmethod
    async def open(self, path: str, flags: int) -> int:
        """The lowest file descriptor that is free, or an error."""

    @operation(2)
    @abstractmethod
    async def close(self, fd: int) -> int:
        """Close a file descriptor."""

    @operation(3)
    @abstractmethod
    async def read(self, fd: int, count: int) -> Data:
        """Up to ``count`` bytes, from where the last read or write ended. A pipe is waited for."""

    @operation(4)
    @abstractmethod
    async def write(self, fd: int, data: bytes) -> int:
        """How many bytes were written. A pipe that is full is waited for."""

    @operation(5)
    @abstractmethod
    async def lseek(self, fd: int, offset: int, whence: int) -> int:
        """Where the next read or write begins."""

    @operation(6)
    @abstractmethod
    async def dup(self, fd: int, onto: int) -> int:
        """Another file descriptor for the same: ``onto``, which is closed if it was open, or (-1) the lowest."""

    @operation(7)
    @abstractmethod
    async def pipe(self) -> Ends:
        """A new pipe."""

    @operation(8)
    @abstractmethod
    async def stat(self, path: str) -> Stat:
        """What a path leads to."""

    @operation(9)
    @abstractmethod
    async def fstat(self, fd: int) -> Stat:
        """What a file descriptor leads to."""

    @operation(10)
    @abstractmethod
    async def ftruncate(self, fd: int, size: int) -> int:
        """Cut a file off, or add zeros."""

    @operation(11)
    @abstractmethod
    async def fsync(self, fd: int) -> int:
        """Make a file last: when this is answered it survives a crash of anything, and a loss of power."""

    @operation(12)
    @abstractmethod
    async def mkdir(self, path: str) -> int:
        """Make a directory."""

    @operation(13)
    @abstractmethod
    async def rmdir(self, path: str) -> int:
        """Remove an empty directory. EBUSY if some process is in it."""

    @operation(14)
    @abstractmethod
    async def unlink(self, path: str) -> int:
        """Remove a file; who has it open goes on with it."""

    @operation(15)
    @abstractmethod
    async def rename(self, old: str, new: str) -> int:
        """Move a file or a directory, over a file or an empty directory if there is one."""

    @operation(16)
    @abstractmethod
    async def chdir(self, path: str) -> int:
        """Go to a directory."""

    @operation(17)
    @abstractmethod
    async def getcwd(self) -> Where:
        """Where the process is."""

    @operation(18)
    @abstractmethod
    async def readdir(self, path: str, start: int) -> Names:
        """The names in a directory, from number ``start`` on."""

    @operation(19)
    @abstractmethod
    async def spawn(self, path: str, arguments: list[str], fds: list[int]) -> int:
        """Start a program; its file descriptors 0, 1, … are the caller's ``fds``. Returns its number."""

    @operation(20)
    @abstractmethod
    async def waitpid(self, pid: int, options: int) -> Ended:
        """Wait for a child, or (-1) for any."""

    @operation(21)
    @abstractmethod
    async def kill(self, pid: int, signal: int) -> int:
        """End a process, whosoever it is; 0 asks whether it is there."""

    @operation(22)
    @abstractmethod
    async def getpid(self) -> int:
        """The caller's number."""
