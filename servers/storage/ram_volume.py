"""A file system in the memory of its server; what is in it ends with the server."""

from typing import Protocol

from attrs import define

from capkernel.protocols.failures import NoSpace, NotEmpty, NotFound, WrongKind
from capkernel.protocols.files import Entry, Kind, Space


class Content(Protocol):
    """The bytes of a file."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Some of them, as far as they are there."""
        ...

    def write(self, offset: int, data: bytes) -> None:
        """Change some, or add them; a gap is filled with zeros."""
        ...

    def resize(self, size: int) -> None:
        """Cut off, or add zeros."""
        ...


@define
class WholeContent:
    """Bytes one after the other."""

    content: bytearray

    def __len__(self) -> int:
        """How many there are."""
        return len(self.content)

    def read(self, offset: int, size: int) -> bytes:
        """Some of them."""
        return bytes(self.content[offset : offset + size])

    def write(self, offset: int, data: bytes) -> None:
        """Change some."""
        self.resize(max(len(self.content), offset + len(data)))
        self.content[offset : offset + len(data)] = data

    def resize(self, size: int) -> None:
        """Cut off, or add zeros."""
        del self.content[size:]
        self.content.extend(bytes(size - len(self.content)))


class RamVolume:
    """Files and directories, ``limit`` bytes in all, of which ``reserve`` are kept back; a name counts as 64 bytes more
    than it has.
    """

    def __init__(self, limit: int, reserve: int = 0) -> None:
        self.limit = limit
        self.reserve = reserve
        self.used = 0
        self._things: dict[str, Content | None] = {"": None}

    def new_content(self) -> Content:
        """What a new file has. Another kind of volume has another."""
        return WholeContent(bytearray())

    async def info(self, path: str) -> tuple[Kind, int] | None:
        """What is there."""
        if path not in self._things:
            return None
        found = self._things[path]
        return (Kind.DIRECTORY, 0) if found is None else (Kind.FILE, len(found))

    async def read(self, path: str, offset: int, size: int) -> bytes:
        """Bytes of a file."""
        return self._file(path).read(offset, size)

    async def write(self, path: str, offset: int, data: bytes, *, into_reserve: bool = False) -> None:
        """Change a file."""
        content = self._file(path)
        self._charge(max(0, offset + len(data) - len(content)) if data else 0, into_reserve)
        if data:
            content.write(offset, data)

    async def resize(self, path: str, size: int, *, into_reserve: bool = False) -> None:
        """Cut off, or add zeros."""
        content = self._file(path)
        self._charge(size - len(content), into_reserve)
        content.resize(size)

    async def sync(self, path: str) -> None:
        """Nothing to do."""
        self._file(path)

    async def release(self, path: str) -> None:
        """Nothing to do."""

    async def list(self, path: str) -> list[Entry]:
        """What is in a directory."""
        prefix = f"{path}/" if path else ""
        names = [each for each in self._things if each and each.startswith(prefix) and "/" not in each[len(prefix) :]]
        return [Entry(name[len(prefix) :], *await self._known(name)) for name in names]

    async def create(self, path: str, kind: Kind, *, into_reserve: bool = False) -> None:
        """Make something."""
        self._charge(_cost(path), into_reserve)
        self._things[path] = self.new_content() if kind is Kind.FILE else None

    async def remove(self, path: str) -> None:
        """Remove something."""
        if await self.list(path):
            raise NotEmpty(f"{path} is not empty")
        found = self._things.pop(path)
        self.used -= _cost(path) + (len(found) if found is not None else 0)

    async def rename(self, path: str, new_path: str) -> None:
        """Move something."""
        if new_path in self._things:
            await self.remove(new_path)
        for old in [each for each in self._things if each == path or each.startswith(f"{path}/")]:
            new = new_path + old[len(path) :]
            self.used += _cost(new) - _cost(old)
            self._things[new] = self._things.pop(old)

    async def space(self) -> Space:
        """Room."""
        return Space(self.limit, self.used, max(0, self.limit - self.reserve - self.used), self.reserve)

    async def close(self) -> None:
        """Nothing to do."""

    async def _known(self, path: str) -> tuple[Kind, int]:
        found = await self.info(path)
        if found is None:
            raise NotFound(f"there is no {path}")
        return found

    def _file(self, path: str) -> Content:
        if path not in self._things:
            raise NotFound(f"there is no {path}")
        found = self._things[path]
        if found is None:
            raise WrongKind(f"{path} is a directory")
        return found

    def _charge(self, size: int, into_reserve: bool) -> None:
        left = self.limit - self.used - (0 if into_reserve else self.reserve)
        if size > max(0, left):
            raise NoSpace(f"{left} bytes are left, and {size} are needed")
        self.used += size


def _cost(path: str) -> int:
    return 64 + len(path.rpartition("/")[2].encode())
