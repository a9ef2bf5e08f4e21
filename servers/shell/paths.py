"""Paths, for people who type them. There are none in the system: a path is a walk from cap to cap.

``..`` is the directory that one came through, which only this program remembers; no directory leads upwards.
"""

from collections.abc import Sequence
from typing import Final

from capkernel.protocols.failures import Malformed, NotFound
from capkernel.protocols.files import READ, READ_WRITE, WRITE, Directory, File

RIGHTS: Final = {"r": READ, "w": WRITE, "rw": READ_WRITE}
"""Rights as they are typed."""
LETTERS: Final = {rights: letters for letters, rights in RIGHTS.items()}


class Paths:
    """A root directory, and where one is in it."""

    def __init__(self, root: Directory) -> None:
        self.root = root
        self.here: tuple[str, ...] = ()

    def names_of(self, path: str) -> tuple[str, ...]:
        """A path's names from the root on."""
        names = [] if path.startswith("/") else list(self.here)
        for part in path.split("/"):
            if part == "..":
                names = names[:-1]
            elif part not in ("", "."):
                names.append(part)
        return tuple(names)

    async def directory(self, path: str, rights: int = READ) -> Directory:
        """The directory of a path; whoever gets it drops it. Raises what the directories on the way raise."""
        return await self._walk(self.names_of(path), rights)

    async def file(self, path: str, rights: int = READ) -> File:
        """The file of a path."""
        parent, name = await self.parent(path, rights)
        try:
            return await parent.open(name, rights)
        finally:
            await self.done(parent)

    async def parent(self, path: str, rights: int = READ_WRITE) -> tuple[Directory, str]:
        """The directory in which a path's last name is, and that name. Raises Malformed for the root."""
        names = self.names_of(path)
        if not names:
            raise Malformed("the root has no name")
        return await self._walk(names[:-1], rights), names[-1]

    async def done(self, directory: Directory) -> None:
        """Give a directory back that was asked for."""
        if directory is not self.root:
            await directory.drop()

    async def _walk(self, names: Sequence[str], rights: int) -> Directory:
        current = self.root
        for name in names:
            try:
                inner = await current.directory(name, rights)
            except NotFound:
                raise NotFound(f"there is no directory {'/'.join(names)}") from None
            finally:
                await self.done(current)
            current = inner
        return current
