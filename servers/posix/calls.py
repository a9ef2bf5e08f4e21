"""The calls of a process, on directories and processes that are caps: ``protocols.posix`` says what each is.

Everything here runs with the authority of this one server, on behalf of whoever asks: that is what POSIX is.
"""

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast

from capkernel.protocols.failures import Failure, NotFound, QuotaExceeded, WrongKind
from capkernel.protocols.files import READ, Kind
from capkernel.protocols.posix import (
    KNOWN_FLAGS,
    MAX_IO,
    O_ACCMODE,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_RDONLY,
    O_TRUNC,
    O_WRONLY,
    OPEN_MAX,
    SIGKILL,
    SIGTERM,
    WNOHANG,
    Data,
    Ended,
    Ends,
    Errno,
    Names,
    Posix,
    Stat,
    Where,
)
from capkernel.protocols.spawn import killed
from servers.net.closing import let_go
from servers.posix.descriptions import Description, OpenDirectory, Pipe, PipeEnd
from servers.posix.paths import Found, PosixError, errno_of, persistently
from servers.posix.table import Entry
from servers.posix.world import GRAVEYARD, Starter, World

P = ParamSpec("P")
T = TypeVar("T")
Call = Callable[P, Coroutine[Any, Any, T]]


def _answers(error: Callable[[int], T]) -> Callable[[Call[P, T]], Call[P, T]]:
    """Answer an error instead of raising it."""

    def wrap(call: Call[P, T]) -> Call[P, T]:
        @functools.wraps(call)
        async def answered(*args: P.args, **words: P.kwargs) -> T:
            try:
                return await call(*args, **words)
            except PosixError as found:
                return error(found.errno.value)
            except Failure as failure:
                return error(errno_of(failure).value)

        return answered

    return wrap


def _negative(errno: int) -> int:
    return -errno


def _no_names(errno: int) -> Names:
    return Names(errno, [])


_number = _answers(_negative)


class Calls(Posix):
    """The calls of one process."""

    def __init__(self, world: World, entry: Entry) -> None:
        self.world = world
        self.entry = entry

    async def _find(self, path: str) -> Found:
        (found,) = await self._find_all(path)
        return found

    async def _find_all(self, *paths: str) -> list[Found]:
        """The directories first, then what is in them: of several errors that is the order."""
        found = [await self.world.tree.find(path, self.entry.cwd) for path in paths]
        for each in found:
            if each.is_too_long:
                raise PosixError(Errno.ENAMETOOLONG)
            if each.names[:1] == (GRAVEYARD,) or (each is not found[-1] and each.info is None):
                raise PosixError(Errno.ENOENT)
        return found

    @_number
    async def open(self, path: str, flags: int) -> int:
        """Open a file or a directory, or make a file."""
        if flags & ~KNOWN_FLAGS or flags & O_ACCMODE == O_ACCMODE:
            raise PosixError(Errno.EINVAL)
        found = await self._find(path)
        kind = self._to_be_opened(found, flags)
        if len(self.entry.fds) >= OPEN_MAX:
            raise PosixError(Errno.EMFILE)
        if kind is Kind.DIRECTORY:
            return self.entry.put(OpenDirectory(flags))
        if kind is None:
            directory = await self.world.tree.directory(found.above)
            try:
                await let_go(await directory.create(found.name))
            finally:
                await self.world.tree.release(directory)
        file = await self.world.open_file(found.names, flags)
        fd = self.entry.put(file)
        if flags & O_TRUNC:
            try:
                await file.truncate(0)
            except Failure:
                await self.world.close(self.entry, fd)
                raise
        return fd

    def _to_be_opened(self, found: Found, flags: int) -> Kind | None:
        """What is there; None for what is to be made. Raises PosixError."""
        if found.is_directory and flags & O_CREAT and not (flags & O_EXCL and found.info is not None):
            raise PosixError(Errno.EISDIR)
        if found.info is not None and flags & O_CREAT and flags & O_EXCL:
            raise PosixError(Errno.EEXIST)
        kind = found.kind
        if kind is None and not flags & O_CREAT:
            raise PosixError(Errno.ENOENT)
        if kind is Kind.FILE and flags & O_DIRECTORY:
            raise PosixError(Errno.ENOTDIR)
        if kind is Kind.DIRECTORY and (flags & O_ACCMODE != O_RDONLY or flags & (O_CREAT | O_TRUNC)):
            raise PosixError(Errno.EISDIR)
        if kind is None and flags & O_DIRECTORY:
            raise PosixError(Errno.EINVAL)
        return kind

    @_number
    async def close(self, fd: int) -> int:
        """Close it."""
        await self.world.close(self.entry, fd)
        return 0

    @_answers(Data)
    async def read(self, fd: int, count: int) -> Data:
        """Read."""
        description = self.entry.description(fd)
        if count < 0:
            raise PosixError(Errno.EINVAL)
        return Data(0, await description.read(count))

    @_number
    async def write(self, fd: int, data: bytes) -> int:
        """Write."""
        return await self.entry.description(fd).write(data)

    @_number
    async def lseek(self, fd: int, offset: int, whence: int) -> int:
        """Set the offset."""
        return await self.entry.description(fd).seek(offset, whence)

    @_number
    async def dup(self, fd: int, onto: int) -> int:
        """Refer to the same."""
        description = self.entry.description(fd)
        if onto == -1:
            return self.entry.put(description)
        if not 0 <= onto < OPEN_MAX:
            raise PosixError(Errno.EBADF)
        if onto != fd:
            if onto in self.entry.fds:
                await self.world.close(self.entry, onto)
            self.entry.put(description, onto)
        return onto

    @_answers(Ends)
    async def pipe(self) -> Ends:
        """Two ends."""
        if len(self.entry.fds) > OPEN_MAX - 2:
            raise PosixError(Errno.EMFILE)
        pipe = Pipe()
        return Ends(0, self.entry.put(PipeEnd(pipe, O_RDONLY)), self.entry.put(PipeEnd(pipe, O_WRONLY)))

    @_answers(Stat)
    async def stat(self, path: str) -> Stat:
        """What is there."""
        found = await self._find(path)
        if found.kind is None or found.info is None:
            raise PosixError(Errno.ENOENT)
        is_file = found.kind is Kind.FILE
        return Stat(0, is_file, not is_file, found.info.size if is_file else 0)

    @_answers(Stat)
    async def fstat(self, fd: int) -> Stat:
        """What is open."""
        return await self.entry.description(fd).stat()

    @_number
    async def ftruncate(self, fd: int, size: int) -> int:
        """Set the size."""
        await self.entry.description(fd).resize(size)
        return 0

    @_number
    async def fsync(self, fd: int) -> int:
        """Make it last."""
        description = self.entry.description(fd)
        if isinstance(description, OpenDirectory):
            return 0
        await description.sync()
        return 0

    @_number
    async def mkdir(self, path: str) -> int:
        """Make a directory."""
        found = await self._find(path)
        if found.info is not None or not found.name:
            raise PosixError(Errno.EEXIST)
        directory = await self.world.tree.directory(found.above)
        try:
            await let_go(await directory.make_directory(found.name))
        finally:
            await self.world.tree.release(directory)
        return 0

    @_number
    async def rmdir(self, path: str) -> int:
        """Remove a directory."""
        found = await self._find(path)
        if not found.name:
            raise PosixError(Errno.EBUSY if not found.above else Errno.EINVAL)
        if found.kind is None:
            raise PosixError(Errno.ENOENT)
        if found.kind is not Kind.DIRECTORY:
            raise PosixError(Errno.ENOTDIR)
        if any(entry.cwd == found.names for entry in self.world.table.entries.values() if entry.ending is None):
            raise PosixError(Errno.EBUSY)
        await self.world.remove(found)
        return 0

    @_number
    async def unlink(self, path: str) -> int:
        """Remove a file's name."""
        found = await self._find(path)
        if found.kind is None:
            raise PosixError(Errno.ENOENT)
        if found.kind is Kind.DIRECTORY:
            raise PosixError(Errno.EISDIR)
        await self.world.remove(found)
        return 0

    @_number
    async def rename(self, old: str, new: str) -> int:
        """Move something."""
        source, target = await self._find_all(old, new)
        if not source.name or not target.name:
            raise PosixError(Errno.EBUSY)
        is_file = source.kind is Kind.FILE
        if is_file and target.is_directory:
            raise PosixError(Errno.ENOTDIR)
        if target.names[: len(source.names)] == source.names and target.names != source.names:
            raise PosixError(Errno.EINVAL if not is_file else Errno.ENOTDIR)
        if source.names == target.names:
            return 0
        await self._make_room(source, target, is_file=is_file)
        await self.world.rename(source, target)
        return 0

    async def _make_room(self, source: Found, target: Found, *, is_file: bool) -> None:
        """Take away what would be replaced, but for a file that nobody has open. Raises PosixError, failures."""
        if target.info is None:
            return
        if source.names[: len(target.names)] == target.names:
            raise PosixError(Errno.EISDIR if is_file else Errno.ENOTEMPTY)
        if is_file and target.kind is Kind.DIRECTORY:
            raise PosixError(Errno.EISDIR)
        if not is_file and target.kind is Kind.FILE:
            raise PosixError(Errno.ENOTDIR)
        if not is_file or self.world.is_open(target.names):
            if any(entry.cwd == target.names for entry in self.world.table.entries.values()):
                raise PosixError(Errno.EBUSY)
            await self.world.remove(target)

    @_number
    async def chdir(self, path: str) -> int:
        """Go there."""
        found = await self._find(path)
        if found.kind is None:
            raise PosixError(Errno.ENOENT)
        if found.kind is not Kind.DIRECTORY:
            raise PosixError(Errno.ENOTDIR)
        self.entry.cwd = found.names
        return 0

    @_answers(Where)
    async def getcwd(self) -> Where:
        """Where it is."""
        return Where(0, "/" + "/".join(self.entry.cwd))

    @_answers(_no_names)
    async def readdir(self, path: str, start: int) -> Names:
        """Names in a directory."""
        if start < 0:
            raise PosixError(Errno.EINVAL)
        found = await self._find(path)
        if found.kind is None:
            raise PosixError(Errno.ENOENT)
        if found.kind is not Kind.DIRECTORY:
            raise PosixError(Errno.ENOTDIR)
        listed = await persistently(lambda: self._listed(found.names))
        # The graveyard is one of the root's names, and counted by nobody.
        names = [name for name in listed if found.names or name != GRAVEYARD][start:]
        return Names(0, _fitting(names))

    async def _listed(self, where: tuple[str, ...]) -> list[str]:
        directory = await self.world.tree.directory(where)
        try:
            listed: list[str] = []
            while part := await directory.list(len(listed)):
                listed += [entry.name for entry in part]
        finally:
            await self.world.tree.release(directory)
        return listed

    @_number
    async def spawn(self, path: str, arguments: list[str], fds: list[int]) -> int:
        """Start a program."""
        found = await self._find(path)
        if found.kind is None:
            raise PosixError(Errno.ENOENT)
        if found.kind is Kind.DIRECTORY:
            raise PosixError(Errno.EACCES)
        given: list[Description] = [self.entry.description(fd) for fd in fds]
        if self.world.starter is None or len(given) > OPEN_MAX:
            raise PosixError(Errno.EAGAIN)
        child = self.world.table.enter(self.entry, None)
        for fd, description in enumerate(given):
            child.put(description, fd)
        try:
            child.process = await persistently(lambda: self._started(found, child, arguments))
        except Failure as failure:
            await self.world.end(child, 0, 0)
            self.world.table.reap(child)
            raise PosixError(_START_ERRORS.get(type(failure), errno_of(failure))) from None
        return child.pid

    async def _started(self, found: Found, child: Entry, arguments: list[str]) -> Any:
        """A program, from where it lies. Raises failures; then nothing is left of it."""
        directory = await self.world.tree.directory(found.above)
        try:
            program: Any = await directory.open(found.name, READ)
        finally:
            await self.world.tree.release(directory)
        try:
            return await cast(Starter, self.world.starter).start(child, program, arguments)
        finally:
            await let_go(program)

    @_answers(Ended)
    async def waitpid(self, pid: int, options: int) -> Ended:
        """Wait."""
        if options & ~WNOHANG:
            raise PosixError(Errno.EINVAL)
        while True:
            children = [child for child in self.world.table.children(self.entry) if pid in (-1, child.pid)]
            if not children:
                raise PosixError(Errno.ECHILD)
            for child in children:
                if child.ending is not None:
                    self.world.table.reap(child)
                    return Ended(0, child.pid, *child.ending)
            if options & WNOHANG:
                return Ended(0)
            await self.world.table.changed.wait()

    @_number
    async def kill(self, pid: int, signal: int) -> int:
        """End one."""
        entry = self.world.table.entries.get(pid)
        if entry is None:
            raise PosixError(Errno.ESRCH)
        if signal not in (0, SIGKILL, SIGTERM):
            raise PosixError(Errno.EINVAL)
        if signal and entry.ending is None and entry.process is not None:
            await killed(entry.process)
            await self.world.end(entry, 0, signal)
        return 0

    async def getpid(self) -> int:
        """Its number."""
        return self.entry.pid


def _fitting(names: list[str]) -> list[str]:
    """As many of them as fit into a message."""
    room, found = MAX_IO, []
    for name in names:
        room -= len(name.encode()) + 16
        if room < 0:
            break
        found.append(name)
    return found


_START_ERRORS = {WrongKind: Errno.ENOEXEC, NotFound: Errno.ENOEXEC, QuotaExceeded: Errno.EAGAIN}
