"""Caps to files and directories, for any file system: rights, names, what is open, what was moved or removed.

A file system is a ``Volume``: plain operations on paths, which no client ever sees. This module turns caps into paths:
a ``Node`` stands for something that is open, and knows where it is now.
"""

from collections.abc import Awaitable
from typing import Final, Protocol

from capkernel.protocols.client import Stub
from capkernel.protocols.failures import AlreadyExists, Gone, Malformed, NotFound, NotPermitted, WrongKind
from capkernel.protocols.files import (
    ALL_RIGHTS,
    READ,
    READ_WRITE,
    RESERVE,
    WRITE,
    Directory,
    Entry,
    File,
    Info,
    Kind,
    Space,
    checked_name,
)

LIST_BYTES: Final = 600
"""Of the names in one answer to ``list``."""
MAX_SIZE: Final = (1 << 31) - 1
"""Bytes of a file."""


class Volume(Protocol):
    """A file system. A path is names with "/" between them, "" the root. All may raise failures.

    What needs room may go into what is kept back if it is told so.
    """

    async def info(self, path: str) -> tuple[Kind, int] | None:
        """What is there, and its size; None if nothing is."""
        ...

    async def read(self, path: str, offset: int, size: int) -> bytes:
        """Bytes of a file."""
        ...

    async def write(self, path: str, offset: int, data: bytes, *, into_reserve: bool = False) -> None:
        """Write into a file; a gap is filled with zeros."""
        ...

    async def resize(self, path: str, size: int, *, into_reserve: bool = False) -> None:
        """Cut a file off, or add zeros."""
        ...

    async def sync(self, path: str) -> None:
        """Make a file's content last."""
        ...

    async def release(self, path: str) -> None:
        """Nobody has the file open any more; what was written lasts."""
        ...

    async def list(self, path: str) -> list[Entry]:
        """What is in a directory."""
        ...

    async def create(self, path: str, kind: Kind, *, into_reserve: bool = False) -> None:
        """Make something where nothing is."""
        ...

    async def remove(self, path: str) -> None:
        """Remove a file or an empty directory."""
        ...

    async def rename(self, path: str, new_path: str) -> None:
        """Move something to where nothing or a file is, in one step."""
        ...

    async def space(self) -> Space:
        """Room."""
        ...

    async def close(self) -> None:
        """Make everything last; the volume is not used any more."""
        ...


class Node:
    """Something that is open, or in which something is; ``parent`` is None for the root, and for what was removed."""

    def __init__(self, parent: "Node | None", name: str, kind: Kind) -> None:
        self.parent = parent
        self.name = name
        self.kind = kind
        self.below: dict[str, Node] = {}
        self.is_removed = False
        self.users = 0

    @property
    def path(self) -> str:
        """Where it is. Raises Gone."""
        if self.is_removed:
            raise Gone(f"{self.name} was removed")
        if self.parent is None:
            return ""
        above = self.parent.path
        return f"{above}/{self.name}" if above else self.name

    def is_within(self, other: "Node") -> bool:
        """Whether it is the other, or somewhere below it."""
        node: Node | None = self
        while node is not None and node is not other:
            node = node.parent
        return node is other


class Tree:
    """What is open in a volume."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self.root = Node(None, "", Kind.DIRECTORY)
        self.changes = 0
        """How often something was changed."""
        self._listed: tuple[str, int, list[Entry]] = ("", -1, [])

    def root_directory(self, rights: int = READ_WRITE) -> Directory:
        """The whole volume, for whoever is to have it."""
        return TreeDirectory(self, self.root, rights)

    async def listing(self, path: str, *, is_continued: bool) -> list[Entry]:
        """All that is in a directory, in order. Who goes on with a listing is given what was read for its beginning, if
        nothing was changed since: so a large directory is read once, and not for each part of the answer.
        """
        changes = self.changes
        if is_continued and self._listed[:2] == (path, changes):
            return self._listed[2]
        found = sorted(await self.volume.list(path), key=lambda entry: entry.name)
        self._listed = path, changes, found
        return found

    async def change(self, work: Awaitable[None]) -> None:
        """Let something be changed."""
        try:
            await work
        finally:
            self.changes += 1

    async def find(self, parent: Node, name: str) -> Node:
        """What a name leads to. Raises NotFound."""
        known = parent.below.get(checked_name(name))
        if known is not None:
            return known
        found = await self.volume.info(_join(parent.path, name))
        if found is None:
            raise NotFound(f"there is no {name}")
        return self.add(parent, name, found[0])

    def add(self, parent: Node, name: str, kind: Kind) -> Node:
        """Remember something in a directory."""
        node = parent.below[name] = Node(parent, name, kind)
        return node

    def forget_unused(self, node: Node) -> None:
        """Forget what nobody has open, from here upwards."""
        while node.parent is not None and not node.users and not node.below:
            node.parent.below.pop(node.name, None)
            node = node.parent

    def removed(self, node: Node) -> None:
        """It is not there any more."""
        if node.parent is not None:
            node.parent.below.pop(node.name, None)
        node.is_removed = True

    def moved(self, node: Node, to: Node, name: str) -> None:
        """It is somewhere else; what was there is gone."""
        replaced = to.below.get(name)
        if replaced is not None:
            self.removed(replaced)
        if node.parent is not None:
            node.parent.below.pop(node.name, None)
        node.parent, node.name = to, name
        to.below[name] = node


class _Open:
    """A cap's rights to a node."""

    def __init__(self, tree: Tree, node: Node, rights: int) -> None:
        self.tree = tree
        self.node = node
        self.rights = rights
        node.users += 1

    def need(self, rights: int) -> None:
        """Raise NotPermitted unless the cap has these rights."""
        missing = rights & ~self.rights
        if missing:
            raise NotPermitted(f"this cap does not allow to {' and '.join(_words(missing))}")

    def limited(self, rights: int) -> int:
        """Rights that were asked for. Raises Malformed, NotPermitted."""
        if not 0 <= rights <= ALL_RIGHTS:
            known = f"{READ} (read), {WRITE} (write), {RESERVE} (reserve)"
            raise Malformed(f"rights are {known} or a sum of these, not {rights}")
        self.need(rights)
        return rights

    @property
    def into_reserve(self) -> bool:
        """Whether what is written through it may go into what is kept back."""
        return bool(self.rights & RESERVE)

    async def closed(self) -> None:
        """No cap leads here any more."""
        self.node.users -= 1
        if not self.node.users:
            if self.node.kind is Kind.FILE and not self.node.is_removed:
                await self.tree.volume.release(self.node.path)
            self.tree.forget_unused(self.node)


class TreeFile(_Open, File):
    """A file of a volume."""

    async def info(self) -> Info:
        """Size and rights."""
        found = await self.tree.volume.info(self.node.path)
        if found is None:
            raise Gone(f"{self.node.name} was removed")
        return Info(Kind.FILE, found[1], self.rights)

    async def read(self, offset: int, size: int) -> bytes:
        """Bytes of it."""
        self.need(READ)
        return await self.tree.volume.read(self.node.path, _bounded(offset), _bounded(size))

    async def write(self, offset: int, data: bytes) -> None:
        """Change it."""
        self.need(WRITE)
        _bounded(offset + len(data))
        path, volume = self.node.path, self.tree.volume
        await self.tree.change(volume.write(path, _bounded(offset), data, into_reserve=self.into_reserve))

    async def resize(self, size: int) -> None:
        """Change its size."""
        self.need(WRITE)
        path, volume = self.node.path, self.tree.volume
        await self.tree.change(volume.resize(path, _bounded(size), into_reserve=self.into_reserve))

    async def sync(self) -> None:
        """Make it last."""
        await self.tree.volume.sync(self.node.path)

    async def restrict(self, rights: int) -> File:
        """The same with fewer rights."""
        return TreeFile(self.tree, self.node, self.limited(rights))


class TreeDirectory(_Open, Directory):
    """A directory of a volume."""

    async def open(self, name: str, rights: int) -> File:
        """A file in it."""
        return TreeFile(self.tree, await self._found(name, Kind.FILE), self.limited(rights))

    async def create(self, name: str) -> File:
        """A new file in it."""
        return TreeFile(self.tree, await self._made(name, Kind.FILE), self.rights)

    async def directory(self, name: str, rights: int) -> Directory:
        """A directory in it."""
        return TreeDirectory(self.tree, await self._found(name, Kind.DIRECTORY), self.limited(rights))

    async def make_directory(self, name: str) -> Directory:
        """A new directory in it."""
        return TreeDirectory(self.tree, await self._made(name, Kind.DIRECTORY), self.rights)

    async def list(self, start: int) -> list[Entry]:
        """Names in it."""
        self.need(READ)
        entries = await self.tree.listing(self.node.path, is_continued=_bounded(start) > 0)
        found: list[Entry] = []
        room = LIST_BYTES
        for entry in entries[start:]:
            room -= len(entry.name.encode()) + 8 * 5
            if room < 0 and found:
                break
            found.append(entry)
        return found

    async def info(self, name: str) -> Info:
        """What a name in it leads to."""
        self.need(READ)
        path = _join(self.node.path, checked_name(name)) if name else self.node.path
        found = await self.tree.volume.info(path)
        if found is None:
            raise NotFound(f"there is no {name}")
        return Info(*found, self.rights)

    async def remove(self, name: str) -> None:
        """Remove something in it."""
        self.need(WRITE)
        node = await self.tree.find(self.node, name)
        try:
            await self.tree.change(self.tree.volume.remove(node.path))
        finally:
            self.tree.forget_unused(node)
        self.tree.removed(node)

    async def rename(self, name: str, to: Directory, new_name: str) -> None:
        """Move something in it."""
        self.need(WRITE)
        if not isinstance(to, TreeDirectory) or to.tree is not self.tree:
            raise Malformed("the other directory is not in this file system")
        to.need(WRITE)
        node = await self.tree.find(self.node, name)
        try:
            await self._move(node, to.node, checked_name(new_name))
        finally:
            self.tree.forget_unused(node)

    async def _move(self, node: Node, to: Node, name: str) -> None:
        if to.is_within(node):
            raise Malformed(f"{node.name} cannot be moved into itself")
        path = _join(to.path, name)
        if path == node.path:
            return
        there = await self.tree.volume.info(path)
        if there is not None and Kind.DIRECTORY in (there[0], node.kind):
            raise AlreadyExists(f"there is a {there[0].value} named {name}")
        await self.tree.change(self.tree.volume.rename(node.path, path))
        self.tree.moved(node, to, name)

    async def space(self) -> Space:
        """Room in the volume."""
        return await self.tree.volume.space()

    async def restrict(self, rights: int) -> Directory:
        """The same with fewer rights."""
        return TreeDirectory(self.tree, self.node, self.limited(rights))

    async def adopt(self, file: File, rights: int) -> File:
        """A file of somebody else's, opened here."""
        if not isinstance(file, TreeFile) or file.tree is not self.tree:
            if isinstance(file, Stub):
                await file.forget()
            raise Malformed("the file is not in this file system")
        return TreeFile(self.tree, file.node, file.limited(rights))

    async def _found(self, name: str, kind: Kind) -> Node:
        node = await self.tree.find(self.node, name)
        if node.kind is not kind:
            self.tree.forget_unused(node)
            raise WrongKind(f"{name} is a {node.kind.value}")
        return node

    async def _made(self, name: str, kind: Kind) -> Node:
        self.need(WRITE)
        path = _join(self.node.path, checked_name(name))
        if await self.tree.volume.info(path) is not None:
            raise AlreadyExists(f"there is a {name} already")
        await self.tree.change(self.tree.volume.create(path, kind, into_reserve=self.into_reserve))
        return self.tree.add(self.node, name, kind)


def _words(rights: int) -> list[str]:
    """What rights allow."""
    return [
        word for bit, word in ((READ, "read"), (WRITE, "write"), (RESERVE, "use what is kept back")) if rights & bit
    ]


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _bounded(number: int) -> int:
    """A size or an offset. Raises Malformed."""
    if not 0 <= number <= MAX_SIZE:
        raise Malformed(f"sizes and offsets are 0 to {MAX_SIZE}, not {number}")
    return number
