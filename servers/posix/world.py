"""What all processes share: files below one directory, whatever is open of them, and each other."""

from contextlib import suppress
from typing import Any, Final, Protocol

from capkernel.protocols.failures import Failure, Gone
from capkernel.protocols.files import Directory
from capkernel.protocols.posix import SIGKILL
from capkernel.protocols.processes import State, Status
from capkernel.protocols.spawn import give_up
from servers.net.closing import let_go
from servers.posix.descriptions import OpenFile
from servers.posix.inode import Inode
from servers.posix.paths import Found, Names, Tree, persistently
from servers.posix.table import Entry, Table

GRAVEYARD: Final = ".deleted"
"""In the root: files without a name that somebody still has open. No path leads there."""


class Starter(Protocol):
    """How programs are started."""

    async def start(self, entry: Entry, program: Any, arguments: list[str]) -> Any:
        """Start one as this process; returns its ``Process``. Raises failures."""
        ...


class World:
    """What all processes share: files below one directory, and each other."""

    def __init__(self, root: Directory, starter: Starter | None = None) -> None:
        self.tree = Tree(root)
        self.table = Table()
        self.inodes: dict[Names, Inode] = {}
        """Files that are open, and those that lost what nobody knows of yet; by where they are."""
        self.starter = starter
        self.buried = 0

    async def open(self) -> None:
        """Make the graveyard, and empty it: nobody has anything open. Raises failures."""
        info = await self.tree.info((), GRAVEYARD)
        if info is None:
            await let_go(await self.tree.root.make_directory(GRAVEYARD))
            return
        graveyard = await self.tree.directory((GRAVEYARD,))
        while names := await graveyard.list(0):
            for each in names:
                await graveyard.remove(each.name)
        await self.tree.release(graveyard)

    def is_open(self, where: Names) -> bool:
        """Whether somebody has the file at a place open."""
        return where in self.inodes and bool(self.inodes[where].users)

    async def open_file(self, where: Names, flags: int) -> OpenFile:
        """Open the file at a place. Raises failures."""
        inode = self.inodes.get(where) or Inode(self.tree, where)
        await inode.enter()
        self.inodes[where] = inode
        return OpenFile(flags, inode)

    def moved(self, old: Names, new: Names) -> None:
        """Something is elsewhere, and all that is in it."""
        for entry in self.table.entries.values():
            if entry.cwd[: len(old)] == old:
                entry.cwd = (*new, *entry.cwd[len(old) :])
        self.inodes.pop(new, None)
        for where in [where for where in self.inodes if where[: len(old)] == old]:
            inode = self.inodes.pop(where)
            inode.where = (*new, *where[len(old) :])
            self.inodes[inode.where] = inode

    async def rename(self, old: Found, new: Found) -> None:
        """Move what is at one place to another. Raises failures."""
        source, target = await self.tree.directory(old.above), await self.tree.directory(new.above)
        try:
            await source.rename(old.name, target, new.name)
        finally:
            await self.tree.release(source)
            await self.tree.release(target)
        self.moved(old.names, new.names)

    async def remove(self, found: Found) -> None:
        """Take a name away; a file that is open goes on without one. Raises failures."""
        if self.is_open(found.names):
            self.buried += 1
            await self.rename(found, Found((GRAVEYARD,), str(self.buried), None, False))
            return
        directory = await self.tree.directory(found.above)
        try:
            await directory.remove(found.name)
        finally:
            await self.tree.release(directory)
        self.inodes.pop(found.names, None)

    async def close(self, entry: Entry, fd: int) -> None:
        """Close a file descriptor of a process. Raises PosixError."""
        description = entry.description(fd)
        del entry.fds[fd]
        description.users -= 1
        if description.users:
            return
        await description.closed()
        if isinstance(description, OpenFile) and not description.inode.users:
            await self._closed(description.inode)

    async def _closed(self, inode: Inode) -> None:
        """Nobody has a file open any more: it is remembered only if nobody knows yet what was lost of it."""
        where = inode.where
        if where[0] == GRAVEYARD:
            # What cannot be removed now is when the next life makes the graveyard.
            with suppress(Failure):
                await persistently(lambda: self.remove(Found(where[:-1], where[-1], None, False)))
        elif inode.told == inode.losses:
            del self.inodes[where]

    async def end(self, entry: Entry, code: int, signal: int) -> None:
        """A process is over: close what it had open."""
        for fd in list(entry.fds):
            await self.close(entry, fd)
        self.table.ended(entry, code, signal)
        if entry.process is not None:
            await give_up(entry.process)

    async def look(self) -> None:
        """See which processes have ended."""
        for entry in list(self.table.entries.values()):
            if entry.process is None or entry.ending is not None:
                continue
            try:
                status: Status = await entry.process.status()
            except Gone:
                await self.end(entry, 0, SIGKILL)
                continue
            except Failure:
                continue
            if status.is_over:
                is_exit = status.state is State.EXITED
                await self.end(entry, status.code & 0xFF if is_exit else 0, 0 if is_exit else SIGKILL)
