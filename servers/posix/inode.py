"""A file of which something is open: what all open file descriptions of it share. The kernels call it an inode.

What was written and not synced goes with the file server if that dies. This is an error of the file, whoever wrote:
each description that was open is told once, at its next ``fsync``; if none was told, whoever opens the file next.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from capkernel.protocols.failures import Failure, NoSpace, ServerDied
from capkernel.protocols.files import READ_WRITE
from capkernel.protocols.posix import Errno
from servers.net.closing import let_go
from servers.posix.paths import Names, Tree, persistently

T = TypeVar("T")


class Inode:
    """A file. ``where`` is its place, or where it was moved to when its last name was removed.

    If the file server is started anew, it is opened anew: all that is asked of it may be asked twice.
    """

    def __init__(self, tree: Tree, where: Names) -> None:
        self.tree = tree
        self.where = where
        self.users = 0
        """Open file descriptions."""
        self.losses = self.told = 0
        """How often something that was written was lost, and how many of these losses somebody knows of."""
        self._errno = Errno.EIO
        self._is_changed = False
        self._file: Any = None

    async def enter(self) -> None:
        """One more description is open. Raises failures."""
        if not self.users:
            await persistently(self._open)
        self.users += 1

    async def leave(self) -> None:
        """One less is. What was written is made to last when the last is closed."""
        self.users -= 1
        if not self.users:
            if self._is_changed:
                await self.sync()
            await let_go(self._file)
            self._file = None

    async def _open(self) -> None:
        """Get a cap to it. Raises failures."""
        directory = await self.tree.directory(self.where[:-1])
        try:
            file = await directory.open(self.where[-1], READ_WRITE)
        finally:
            await self.tree.release(directory)
        if self._file is not None:
            await let_go(self._file)
        self._file = file

    def _lose(self, errno: Errno) -> None:
        self.losses += 1
        self._errno, self._is_changed = errno, False

    async def ask(self, question: Callable[[Any], Awaitable[T]]) -> T:
        """Ask the file server. Raises failures."""
        return await persistently(lambda: question(self._file), self._again)

    async def _again(self) -> None:
        if self._is_changed:
            self._lose(Errno.EIO)
        with suppress(ServerDied):
            await self._open()

    async def change(self, question: Callable[[Any], Awaitable[None]]) -> None:
        """Change it: this is in the server's memory until it is synced. Raises failures."""
        await self.ask(question)
        self._is_changed = True

    async def sync(self) -> None:
        """Make it last. If that fails, what was written counts as lost."""
        try:
            await self.ask(lambda file: file.sync())
        except Failure as failure:
            self._lose(Errno.ENOSPC if isinstance(failure, NoSpace) else Errno.EIO)
        else:
            self._is_changed = False

    def tell(self) -> Errno:
        """The error of the last loss, to somebody who did not know of it."""
        self.told = self.losses
        return self._errno
