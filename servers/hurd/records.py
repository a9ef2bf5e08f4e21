"""What is kept with each node: its owner, its mode, and the command line of its passive translator.

They lie in a file of the directory in which the node is, so they last as it does, and go where it goes. The file is
written anew beside the old one and put in its place in one step: whatever fails meanwhile, it is one of the two.
"""

import json
from typing import Any, Final

from attrs import evolve, frozen

from capkernel.protocols.failures import Corrupt, Malformed
from capkernel.protocols.files import READ, READ_WRITE, WRITE, Kind
from capkernel.protocols.hurd import MAX_COMMAND, Ownership
from capkernel.protocols.hurd_auth import MAX_ID, ROOT, Ids
from servers.storage.tree import Volume

TABLE: Final = ".nodes"
NEW_TABLE: Final = ".nodes+"
HIDDEN: Final = frozenset((TABLE, NEW_TABLE))
"""Names in each directory that are the file server's own."""
THIS: Final = ""
"""In the table of the root: the root itself."""
_MODE_BITS: Final = 0o666
_UNIX: Final = ((4, READ), (2, WRITE))


@frozen
class Record:
    """What is kept with a node."""

    owner: int
    group: int
    mode: int
    command: tuple[str, ...] = ()

    def rights(self, ids: Ids) -> int:
        """What somebody may do to the node: as its owner, else as its group, else as anybody."""
        if ids.is_root:
            return READ_WRITE
        shift = 6 if self.owner in ids.uids else 3 if self.group in ids.gids else 0
        return sum(right for bit, right in _UNIX if self.mode >> shift & bit)

    def is_owned_by(self, ids: Ids) -> bool:
        """Whether somebody may say what becomes of it."""
        return ids.is_root or self.owner in ids.uids

    def owned(self, ownership: Ownership) -> "Record":
        """The same, somebody else's. Raises Malformed."""
        ids = (ownership.owner, ownership.group)
        if any(not 0 <= each <= MAX_ID for each in ids) or ownership.mode & ~_MODE_BITS:
            raise Malformed(f"ids are 0 to {MAX_ID}, a mode has bits of {_MODE_BITS:o}, unlike {ownership}")
        return evolve(self, owner=ownership.owner, group=ownership.group, mode=ownership.mode)

    def translated(self, command: list[str]) -> "Record":
        """The same with this passive translator. Raises Malformed."""
        if any(not word or not word.isprintable() or " " in word for word in command):
            raise Malformed("a command line has words that can be printed, without spaces in them")
        if len(" ".join(command).encode()) > MAX_COMMAND:
            raise Malformed(f"a command line has at most {MAX_COMMAND} bytes")
        return evolve(self, command=tuple(command))


NOBODYS: Final = {Kind.FILE: Record(ROOT, 0, 0o644), Kind.DIRECTORY: Record(ROOT, 0, 0o644)}
"""Of a node with which nothing is kept."""


def made_by(ids: Ids) -> Record:
    """Of a new node: it is its maker's, and all may read it."""
    return Record(ids.uids[0] if ids.uids else ROOT, ids.gids[0] if ids.gids else 0, 0o644)


class Records:
    """The tables of a volume. Directories are named by their paths."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume

    async def of(self, directory: str, name: str, kind: Kind) -> Record:
        """What is kept with a node. Raises Corrupt."""
        return (await self._load(directory)).get(name, NOBODYS[kind])

    async def keep(self, directory: str, name: str, record: Record) -> None:
        """Keep this with a node; it lasts when this returns."""
        table = await self._load(directory)
        if table.get(name) != record:
            await self._save(directory, {**table, name: record})

    async def forget(self, directory: str, name: str) -> None:
        """The node is not there any more."""
        table = await self._load(directory)
        if table.pop(name, None) is not None:
            await self._save(directory, table)

    async def is_empty(self, directory: str) -> bool:
        """Whether nothing but the table is in a directory."""
        return all(entry.name in HIDDEN for entry in await self.volume.list(directory))

    async def clear(self, directory: str) -> None:
        """Remove the table of a directory that is empty otherwise."""
        for entry in await self.volume.list(directory):
            if entry.name in HIDDEN:
                await self.volume.remove(joined(directory, entry.name))

    async def _load(self, directory: str) -> dict[str, Record]:
        path = joined(directory, TABLE)
        found = await self.volume.info(path)
        if found is None:
            return {}
        data = await self.volume.read(path, 0, found[1])
        await self.volume.release(path)
        return decode(data)

    async def _save(self, directory: str, table: dict[str, Record]) -> None:
        await put_in_place(self.volume, directory, TABLE, encode(table))


async def put_in_place(volume: Volume, directory: str, name: str, data: bytes) -> None:
    """Let a file have this content, which lasts: it is written beside it, and put in its place in one step."""
    path = joined(directory, NEW_TABLE)
    if await volume.info(path) is None:
        await volume.create(path, Kind.FILE)
    await volume.resize(path, 0)
    await volume.write(path, 0, data)
    await volume.sync(path)
    await volume.release(path)
    await volume.rename(path, joined(directory, name))


def joined(directory: str, name: str) -> str:
    """The path of something in a directory."""
    return f"{directory}/{name}" if directory else name


def encode(table: dict[str, Record]) -> bytes:
    """A table as it lies in its file."""
    rows = {name: [row.owner, row.group, row.mode, list(row.command)] for name, row in sorted(table.items())}
    return json.dumps(rows, separators=(",", ":")).encode()


def decode(data: bytes) -> dict[str, Record]:
    """The table in a file. Raises Corrupt."""
    try:
        return {str(name): _record(row) for name, row in json.loads(data).items()}
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise Corrupt(f"{TABLE} is no table of nodes: {error}") from None


def _record(row: Any) -> Record:
    owner, group, mode, command = row
    if any(type(each) is not int for each in (owner, group, mode)) or any(type(word) is not str for word in command):
        raise ValueError(f"{row!r} is no row")
    return Record(owner, group, mode, tuple(command))
