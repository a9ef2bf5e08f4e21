"""A directory that nobody can change: a translator says what is in it, by overriding what it has."""

from capkernel.protocols.failures import NotFound, NotPermitted
from capkernel.protocols.files import READ, Directory, Entry, File, Info, Kind, Space, checked_name


class ReadOnly(Directory):
    """An empty directory. ``list``, ``directory`` and ``open`` are there to be overridden."""

    async def open(self, name: str, rights: int) -> File:
        """None."""
        raise NotFound(f"there is no {checked_name(name)}")

    async def directory(self, name: str, rights: int) -> Directory:
        """None."""
        raise NotFound(f"there is no {checked_name(name)}")

    async def list(self, start: int) -> list[Entry]:
        """None."""
        return []

    async def info(self, name: str) -> Info:
        """Of the directory itself, or of a name in its list."""
        if not name:
            return Info(Kind.DIRECTORY, 0, READ)
        start = 0
        while part := await self.list(start):
            for entry in part:
                if entry.name == name:
                    return Info(entry.kind, entry.size, READ)
            start += len(part)
        raise NotFound(f"there is no {name}")

    async def create(self, name: str) -> File:
        """No."""
        raise self._refusal()

    async def make_directory(self, name: str) -> Directory:
        """No."""
        raise self._refusal()

    async def remove(self, name: str) -> None:
        """No."""
        raise self._refusal()

    async def rename(self, name: str, to: Directory, new_name: str) -> None:
        """No."""
        raise self._refusal()

    async def space(self) -> Space:
        """None."""
        return Space(0, 0, 0, 0)

    async def restrict(self, rights: int) -> Directory:
        """The same: there is nothing to take away."""
        if rights & ~READ:
            raise self._refusal()
        return self

    def _refusal(self) -> NotPermitted:
        return NotPermitted("nobody can change this directory")
