"""The C library's side: calls that raise OSError, and complete what a server does in pieces."""

from typing import Any, NoReturn

from capkernel.protocols.posix import MAX_IO, O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY, WNOHANG, Ended, Errno, Posix, Stat
from capkernel.protocols.spawn import given
from capkernel.user.process import Process


class Libc:
    """The calls of this process. All raise OSError with the server's errno."""

    def __init__(self, posix: Posix) -> None:
        self.posix = posix

    @classmethod
    def of(cls, process: Process) -> "Libc":
        """Of a process that was spawned by the POSIX server. Raises MissingCap in any other."""
        return cls(given(Posix, process, "posix"))

    async def open(self, path: str, flags: int = O_RDONLY) -> int:
        """A file descriptor."""
        return _checked(await self.posix.open(path, flags), path)

    async def close(self, fd: int) -> None:
        """Close one."""
        _checked(await self.posix.close(fd))

    async def read(self, fd: int, count: int) -> bytes:
        """Up to so many bytes; none at the end."""
        found = await self.posix.read(fd, count)
        _checked(-found.error)
        return found.data

    async def read_all(self, fd: int) -> bytes:
        """Everything up to the end."""
        found = b""
        while data := await self.read(fd, MAX_IO):
            found += data
        return found

    async def write(self, fd: int, data: bytes) -> None:
        """All of it."""
        while data:
            data = data[_checked(await self.posix.write(fd, data[:MAX_IO])) :]

    async def lseek(self, fd: int, offset: int, whence: int) -> int:
        """Set the offset."""
        return _checked(await self.posix.lseek(fd, offset, whence))

    async def fsync(self, fd: int) -> None:
        """Make a file last."""
        _checked(await self.posix.fsync(fd))

    async def dup2(self, fd: int, onto: int) -> int:
        """Another file descriptor for the same."""
        return _checked(await self.posix.dup(fd, onto))

    async def pipe(self) -> tuple[int, int]:
        """The reading and the writing end of a new pipe."""
        ends = await self.posix.pipe()
        _checked(-ends.error)
        return ends.reading, ends.writing

    async def stat(self, path: str) -> Stat:
        """What a path leads to."""
        found = await self.posix.stat(path)
        _checked(-found.error, path)
        return found

    async def listdir(self, path: str = ".") -> list[str]:
        """All names in a directory."""
        found: list[str] = []
        while True:
            part = await self.posix.readdir(path, len(found))
            _checked(-part.error, path)
            if not part.names:
                return found
            found += part.names

    async def mkdir(self, path: str) -> None:
        """Make a directory."""
        _checked(await self.posix.mkdir(path), path)

    async def rmdir(self, path: str) -> None:
        """Remove one."""
        _checked(await self.posix.rmdir(path), path)

    async def unlink(self, path: str) -> None:
        """Remove a file."""
        _checked(await self.posix.unlink(path), path)

    async def rename(self, old: str, new: str) -> None:
        """Move something."""
        _checked(await self.posix.rename(old, new), old)

    async def chdir(self, path: str) -> None:
        """Go somewhere."""
        _checked(await self.posix.chdir(path), path)

    async def getcwd(self) -> str:
        """Where this process is."""
        found = await self.posix.getcwd()
        _checked(-found.error)
        return found.path

    async def spawn(self, path: str, arguments: list[str], fds: list[int]) -> int:
        """Start a program with these as its file descriptors 0, 1, …; returns its number."""
        return _checked(await self.posix.spawn(path, arguments, fds), path)

    async def waitpid(self, pid: int = -1, *, hang: bool = True) -> Ended:
        """Wait for a child."""
        found = await self.posix.waitpid(pid, 0 if hang else WNOHANG)
        _checked(-found.error)
        return found

    async def kill(self, pid: int, signal: int) -> None:
        """End a process."""
        _checked(await self.posix.kill(pid, signal))

    async def put(self, path: str, content: bytes) -> None:
        """Write a whole file, and make it last."""
        fd = await self.open(path, O_WRONLY | O_CREAT | O_TRUNC)
        await self.write(fd, content)
        await self.fsync(fd)
        await self.close(fd)

    async def get(self, path: str) -> bytes:
        """Read a whole file."""
        fd = await self.open(path)
        found = await self.read_all(fd)
        await self.close(fd)
        return found


def _checked(result: int, what: Any = None) -> int:
    """A result that is no error."""
    if result < 0:
        _fail(-result, what)
    return result


def _fail(errno: int, what: Any) -> NoReturn:
    name = Errno(errno).name if errno in set(Errno) else f"error {errno}"
    raise OSError(errno, name, *([what] if what is not None else []))
