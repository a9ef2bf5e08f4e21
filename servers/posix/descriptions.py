"""Open file descriptions: what file descriptors refer to, shared by all that were made of one (dup, spawn)."""

from abc import ABC, abstractmethod

from capkernel.protocols.files import INLINE
from capkernel.protocols.posix import (
    MAX_IO,
    O_ACCMODE,
    O_APPEND,
    O_NONBLOCK,
    O_RDONLY,
    O_WRONLY,
    PIPE_BUF,
    SEEK_CUR,
    SEEK_END,
    SEEK_SET,
    Errno,
    Stat,
)
from capkernel.user.tasks import Condition
from servers.posix.inode import Inode
from servers.posix.paths import PosixError

MOST = min(MAX_IO, INLINE)


class Description(ABC):
    """Something that is open; ``users`` are the file descriptors that refer to it."""

    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.users = 0

    def need(self, *, reading: bool) -> None:
        """Raise EBADF unless it was opened for that."""
        if self.flags & O_ACCMODE == (O_WRONLY if reading else O_RDONLY):
            raise PosixError(Errno.EBADF)

    @abstractmethod
    async def read(self, count: int) -> bytes:
        """Bytes. Raises PosixError."""

    @abstractmethod
    async def write(self, data: bytes) -> int:
        """How many bytes were written. Raises PosixError."""

    async def seek(self, offset: int, whence: int) -> int:
        """Where the next read or write begins. Raises PosixError."""
        raise PosixError(Errno.ESPIPE)

    async def resize(self, size: int) -> None:
        """Cut off or add zeros. Raises PosixError."""
        raise PosixError(Errno.EINVAL)

    async def sync(self) -> None:
        """Make it last. Raises PosixError."""
        raise PosixError(Errno.EINVAL)

    async def stat(self) -> Stat:
        """What it is."""
        return Stat(0)

    async def closed(self) -> None:
        """Nobody refers to it any more."""
        return


class Positioned(Description):
    """Something with an offset."""

    def __init__(self, flags: int) -> None:
        super().__init__(flags)
        self.offset = 0

    @abstractmethod
    async def end(self) -> int:
        """The offset behind all that is there."""

    async def seek(self, offset: int, whence: int) -> int:
        """Set the offset."""
        if whence not in (SEEK_SET, SEEK_CUR, SEEK_END):
            raise PosixError(Errno.EINVAL)
        start = {SEEK_SET: 0, SEEK_CUR: self.offset}.get(whence)
        if start is None:
            start = await self.end()
        if start + offset < 0:
            raise PosixError(Errno.EINVAL)
        self.offset = start + offset
        return self.offset


class OpenFile(Positioned):
    """A file that was opened. Of what was lost before, it is told what nobody was told."""

    def __init__(self, flags: int, inode: Inode) -> None:
        super().__init__(flags)
        self.inode = inode
        self.known = inode.told
        """How many of the file's losses it needs not be told of."""

    async def read(self, count: int) -> bytes:
        """From the offset on."""
        self.need(reading=True)
        data: bytes = await self.inode.ask(lambda file: file.read(self.offset, min(count, MOST)))
        self.offset += len(data)
        return data

    async def write(self, data: bytes) -> int:
        """At the offset, or at the end."""
        self.need(reading=False)
        if not data:
            return 0
        if self.flags & O_APPEND:
            self.offset = await self.end()
        part = data[:MOST]
        await self.inode.change(lambda file: file.write(self.offset, part))
        self.offset += len(part)
        return len(part)

    async def end(self) -> int:
        """Its size."""
        info = await self.inode.ask(lambda file: file.info())
        size: int = info.size
        return size

    async def resize(self, size: int) -> None:
        """Set the size."""
        if size < 0 or self.flags & O_ACCMODE == O_RDONLY:
            raise PosixError(Errno.EINVAL)
        await self.truncate(size)

    async def truncate(self, size: int) -> None:
        """The same however it was opened."""
        await self.inode.change(lambda file: file.resize(size))

    async def sync(self) -> None:
        """Make it last. Raises PosixError, once: what was written to the file before was lost, whoever wrote it."""
        await self.inode.sync()
        if self.known < self.inode.losses:
            self.known = self.inode.losses
            raise PosixError(self.inode.tell())

    async def stat(self) -> Stat:
        """Its size."""
        return Stat(0, is_file=True, size=await self.end())

    async def closed(self) -> None:
        """One less that has the file open."""
        await self.inode.leave()


class OpenDirectory(Positioned):
    """A directory that was opened: it can be asked what it is."""

    async def end(self) -> int:
        """There are no bytes."""
        return 0

    async def read(self, count: int) -> bytes:
        """Not as a file."""
        raise PosixError(Errno.EISDIR)

    async def write(self, data: bytes) -> int:
        """Not as a file."""
        raise PosixError(Errno.EBADF)

    async def stat(self) -> Stat:
        """A directory."""
        return Stat(0, is_directory=True)


class Pipe:
    """Bytes on their way from who writes to who reads."""

    def __init__(self) -> None:
        self.data = b""
        self.readers = self.writers = 0
        self.changed = Condition()


class PipeEnd(Description):
    """An end of a pipe."""

    def __init__(self, pipe: Pipe, flags: int) -> None:
        super().__init__(flags)
        self.pipe = pipe
        self.is_reading = flags & O_ACCMODE == O_RDONLY
        if self.is_reading:
            pipe.readers += 1
        else:
            pipe.writers += 1

    async def read(self, count: int) -> bytes:
        """What is there; waits while nothing is and somebody may yet write."""
        self.need(reading=True)
        pipe = self.pipe
        while count and not pipe.data and pipe.writers:
            if self.flags & O_NONBLOCK:
                raise PosixError(Errno.EAGAIN)
            await pipe.changed.wait()
        count = min(count, MOST)
        data, pipe.data = pipe.data[:count], pipe.data[count:]
        pipe.changed.notify()
        return data

    async def write(self, data: bytes) -> int:
        """All of it at once, as it is less than PIPE_BUF; waits for room. Nothing can be written at any time."""
        self.need(reading=False)
        pipe, part = self.pipe, data[:MOST]
        if not part:
            return 0
        while pipe.readers and len(pipe.data) + len(part) > PIPE_BUF:
            if self.flags & O_NONBLOCK:
                raise PosixError(Errno.EAGAIN)
            await pipe.changed.wait()
        if not pipe.readers:
            raise PosixError(Errno.EPIPE)
        pipe.data += part
        pipe.changed.notify()
        return len(part)

    async def closed(self) -> None:
        """Who waits at the other end learns of it."""
        if self.is_reading:
            self.pipe.readers -= 1
        else:
            self.pipe.writers -= 1
        self.pipe.changed.notify()
