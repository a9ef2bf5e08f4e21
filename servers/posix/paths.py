"""Paths, as POSIX resolves them: name by name from the root or from where the process is (base definitions, 4.13)."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from attrs import frozen

from capkernel.protocols.failures import Failure, Gone, NotFound, ServerDied
from capkernel.protocols.files import READ_WRITE, Directory, Info, Kind
from capkernel.protocols.posix import NAME_MAX, PATH_MAX, Errno
from servers.net.closing import let_go

Names = tuple[str, ...]
"""Where something is: the names that lead there from the root."""


TRIES = 10
T = TypeVar("T")


async def persistently(look: Callable[[], Awaitable[T]], again: Callable[[], Awaitable[None]] | None = None) -> T:
    """Ask for something that may be asked for twice, and again if the file server is started anew meanwhile.

    ``again`` gets whatever caps are needed anew. Raises failures.
    """
    for _ in range(TRIES):
        try:
            return await look()
        except (ServerDied, Gone):
            if again is not None:
                await again()
    return await look()


class PosixError(Exception):
    """A call fails with this error."""

    def __init__(self, errno: Errno) -> None:
        super().__init__(errno.name)
        self.errno = errno


@frozen
class Found:
    """A path: the directory in which its last name is, that name, and what is there, if something is.

    ``name`` is "" if the path ends in ``.``, ``..`` or is the root. ``is_directory`` says that it ends with a slash.
    """

    above: Names
    name: str
    info: Info | None
    is_directory: bool

    @property
    def is_too_long(self) -> bool:
        """Whether nothing can have that name."""
        return len(self.name.encode()) > NAME_MAX

    @property
    def names(self) -> Names:
        """Where it is."""
        return (*self.above, self.name) if self.name else self.above

    @property
    def kind(self) -> Kind | None:
        """What is there. Raises PosixError if a file has a slash behind its name."""
        if self.info is None:
            return None
        if self.is_directory and self.info.kind is Kind.FILE:
            raise PosixError(Errno.ENOTDIR)
        return self.info.kind


class Tree:
    """A directory and all below it, found by names."""

    def __init__(self, root: Directory) -> None:
        self.root = root

    async def directory(self, names: Names) -> Directory:
        """A cap to a directory, to be let go (``release``). Raises failures."""
        return await persistently(lambda: self._directory(names))

    async def _directory(self, names: Names) -> Directory:
        found = self.root
        for name in names:
            below = await found.directory(name, READ_WRITE)
            await self.release(found)
            found = below
        return found

    async def release(self, directory: Directory) -> None:
        """Let a directory go; not the root."""
        if directory is not self.root:
            await let_go(directory)

    async def info(self, above: Names, name: str) -> Info | None:
        """What is there. Raises failures."""
        return await persistently(lambda: self._info(above, name))

    async def _info(self, above: Names, name: str) -> Info | None:
        directory = await self.directory(above)
        try:
            return await directory.info(name)
        except NotFound:
            return None
        finally:
            await self.release(directory)

    async def find(self, path: str, cwd: Names) -> Found:
        """Where a path leads. Raises PosixError, and failures."""
        if not path:
            raise PosixError(Errno.ENOENT)
        if len(path.encode()) > PATH_MAX:
            raise PosixError(Errno.ENAMETOOLONG)
        if "\0" in path:
            raise PosixError(Errno.EINVAL)
        words = [word for word in path.split("/") if word]
        here = () if path.startswith("/") else cwd
        for place, word in enumerate(words):
            is_last = place == len(words) - 1
            if word == "..":
                here = here[:-1]
            elif word != "." and is_last:
                is_short = len(word.encode()) <= NAME_MAX
                return Found(here, word, await self.info(here, word) if is_short else None, path.endswith("/"))
            elif word != ".":
                await self._enter(here, word)
                here = (*here, word)
        return Found(here, "", await self.info(here, ""), True)

    async def _enter(self, here: Names, word: str) -> None:
        if len(word.encode()) > NAME_MAX:
            raise PosixError(Errno.ENAMETOOLONG)
        info = await self.info(here, word)
        if info is None:
            raise PosixError(Errno.ENOENT)
        if info.kind is not Kind.DIRECTORY:
            raise PosixError(Errno.ENOTDIR)


def errno_of(failure: Failure) -> Errno:
    """What a failure of a server below is for a process."""
    return _ERRORS.get(type(failure).__name__, Errno.EIO)


_ERRORS = {
    "NotFound": Errno.ENOENT,
    "AlreadyExists": Errno.EEXIST,
    "NotEmpty": Errno.ENOTEMPTY,
    "NoSpace": Errno.ENOSPC,
    "QuotaExceeded": Errno.ENOMEM,
    "NotPermitted": Errno.EACCES,
    "Malformed": Errno.EINVAL,
    "TooLarge": Errno.EFBIG,
    "Busy": Errno.EAGAIN,
}
