"""FAT12, FAT16 and FAT32 on a disk, with long names, so that what was synced survives a loss of power.

FAT has no journal; its only safe step is the writing of one sector. So:

* What a file had when it was synced last is not touched before the next sync. New content goes to free clusters, or
  behind the old end. A sync writes content and table, and then, in one sector, the entry with first cluster and size.
* Only if clusters *within* what was synced were changed must links in the table change one by one. A loss of power in
  the middle of that sync leaves each of these clusters as it was or as it is to be.
* What is no longer needed becomes free last. A loss of power leaves clusters that belong to nothing, not files without
  clusters; the next mount takes them back (``fat_recovery``).

A name is looked up as it was written; another that differs only in capitals cannot be made beside it.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

from attrs import define, evolve

from capkernel.protocols.block import SECTOR
from capkernel.protocols.failures import (
    AlreadyExists,
    Corrupt,
    DeviceError,
    NotEmpty,
    NotFound,
    NotPermitted,
    WrongKind,
)
from capkernel.protocols.files import Entry, Kind, Space
from servers.storage.cache import CachedDisk
from servers.storage.fat_names import READ_ONLY, Named, dots, new_entry
from servers.storage.fat_recovery import recover
from servers.storage.fat_store import FatDirectory, FatStore
from servers.storage.room import RESERVE_BYTES, check_reserve
from servers.storage.unsynced import Unsynced

T = TypeVar("T")
Entries = list[Entry]
Clusters = list[int]
_PIECE = 1 << 16
"""Bytes of zeros that are written at a time."""
_FOR_NAME = 3
"""Clusters, at most, of a new directory and of its name in the one above."""
_LEAST = 4
"""Clusters that are kept back, if they are large."""


@define(eq=False)
class _File:
    """A file in use: what it has now, and what it had when it was synced last."""

    directory: FatDirectory
    name: str
    size: int
    clusters: list[int]
    synced_size: int
    synced: list[int]

    @property
    def is_synced(self) -> bool:
        """Whether the disk has all of it."""
        return self.size == self.synced_size and self.clusters == self.synced


class FatVolume:
    """A FAT file system on a disk. Use ``open`` first."""

    def __init__(self, disk: CachedDisk, *, keeps_reserve: bool = False) -> None:
        self.disk = disk
        self.keeps_reserve = keeps_reserve
        self.is_mounted = False
        self.is_sound = True
        """Whether nothing in it contradicts itself; otherwise it is only read."""
        self.may_format = False
        self._store: FatStore | None = None
        self._directories: dict[int, FatDirectory] = {}
        self._files: dict[str, _File] = {}
        self._unsynced = Unsynced()

    async def open(self, *, may_format: bool = True) -> None:
        """Mount the file system. An empty disk is formatted, if that is allowed. Raises Corrupt, DeviceError."""
        self.may_format = may_format
        await self._mount()

    async def _mount(self) -> None:
        """Begin from what is on the disk, which may be another one than before."""
        await self.disk.open()
        self._directories, self._files = {}, {}
        if not self.disk.sectors:
            raise Corrupt("the disk has no sectors")
        if self.keeps_reserve:
            check_reserve(self.disk.sectors * SECTOR)
        if self.may_format and not self.disk.is_read_only and await FatStore.is_blank(self.disk):
            self._store = await FatStore.format(self.disk)
        else:
            self._store = await FatStore.read(self.disk)
        if self.keeps_reserve:
            self._store.table.reserve = max(_LEAST, -(-RESERVE_BYTES // self._store.layout.cluster_bytes))
        self.is_sound = await recover(self._store)
        self.is_mounted = True

    @property
    def store(self) -> FatStore:
        """The file system on the disk."""
        if self._store is None:
            raise RuntimeError("the volume was not opened")
        return self._store

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something; after an error of the disk the next operation mounts anew, and what was not synced is lost."""
        try:
            if not self.is_mounted:
                await self._mount()
            return await work
        except DeviceError:
            self.is_mounted = False
            self._directories, self._files = {}, {}
            self._unsynced.lose()
            raise
        finally:
            work.close()

    # What a tree asks (servers.storage.tree.Volume)

    async def info(self, path: str) -> tuple[Kind, int] | None:
        """What is there."""
        return await self._run(self._info(path))

    async def read(self, path: str, offset: int, size: int) -> bytes:
        """Bytes of a file."""
        return await self._run(self._read(path, offset, size))

    async def write(self, path: str, offset: int, data: bytes, *, into_reserve: bool = False) -> None:
        """Change a file."""
        if data:
            await self._run(self._write(path, offset, data, into_reserve))
        else:
            self._need_writable()

    async def resize(self, path: str, size: int, *, into_reserve: bool = False) -> None:
        """Cut off, or add zeros."""
        await self._run(self._resize(path, size, into_reserve))

    async def sync(self, path: str) -> None:
        """Make a file's content last."""
        self._unsynced.check(path)
        if path in self._files:
            await self._run(self._sync(self._files[path]))
        self._unsynced.synced(path)

    async def release(self, path: str) -> None:
        """Nobody has the file open any more."""
        await self._settle(path)
        self._unsynced.forget(path)

    async def _settle(self, path: str) -> None:
        """Sync a file and be done with it."""
        if path in self._files:
            await self._run(self._sync(self._files[path]))
        self._unsynced.synced(path)
        self._files.pop(path, None)

    async def list(self, path: str) -> Entries:
        """What is in a directory."""
        return await self._run(self._list(path))

    async def create(self, path: str, kind: Kind, *, into_reserve: bool = False) -> None:
        """Make something. AlreadyExists also if a name differs only in capitals."""
        await self._run(self._create(path, kind, into_reserve))

    async def remove(self, path: str) -> None:
        """Remove something."""
        await self._run(self._remove(path))
        self._unsynced.forget(path)

    async def rename(self, path: str, new_path: str) -> None:
        """Move something."""
        for each in [each for each in self._files if each in (path, new_path) or each.startswith(f"{path}/")]:
            await self._settle(each)
        await self._run(self._rename(path, new_path))
        self._unsynced.moved(path, new_path)

    async def space(self) -> Space:
        """Room."""
        return await self._run(self._space())

    async def close(self) -> None:
        """Make everything last. Raises DeviceError if that cannot be, or a loss is still to be told."""
        self._unsynced.check_all()
        for path in [*self._files]:
            await self.release(path)

    async def _space(self) -> Space:
        size, table = self.store.layout.cluster_bytes, self.store.table
        total, available = self.store.layout.clusters, max(0, table.free - table.reserve)
        return Space(total * size, (total - table.free) * size, available * size, table.reserve * size)

    # Names

    async def _directory(self, first: int) -> FatDirectory:
        if first not in self._directories:
            self._directories[first] = await FatDirectory(self.store, first).read()
        return self._directories[first]

    async def _above(self, path: str) -> tuple[FatDirectory, str]:
        """The directory in which something is, or is to be, and its name there. Raises NotFound, WrongKind, Corrupt."""
        *above, name = path.split("/")
        directory = await self._directory(0)
        for each in above:
            directory = await self._directory(_first_of(_known(directory, each)))
        return directory, name

    async def _info(self, path: str) -> tuple[Kind, int] | None:
        if not path:
            return Kind.DIRECTORY, 0
        if path in self._files:
            return Kind.FILE, self._files[path].size
        directory, name = await self._above(path)
        named = directory.find(name)
        if named is None:
            return None
        return named.entry.kind, 0 if named.entry.kind is Kind.DIRECTORY else named.entry.size

    async def _list(self, path: str) -> Entries:
        first = 0
        if path:
            directory, name = await self._above(path)
            first = _first_of(_known(directory, name))
        prefix = f"{path}/" if path else ""
        found = []
        for named in (await self._directory(first)).entries:
            entry, file = named.entry, self._files.get(prefix + named.name)
            size = 0 if entry.kind is Kind.DIRECTORY else file.size if file else entry.size
            found.append(Entry(named.name, entry.kind, size))
        return found

    async def _create(self, path: str, kind: Kind, into_reserve: bool) -> None:
        self._need_writable()
        self._need_room_for_name(into_reserve)
        directory, name = await self._above(path)
        if directory.like(name) is not None:
            raise AlreadyExists(f"there is a {name} already, perhaps in other letters")
        if kind is Kind.FILE:
            await directory.add(name, new_entry(kind, 0, 0))
            return
        store = self.store
        cluster = store.table.take()
        try:
            content = dots(cluster, directory.first).ljust(store.layout.cluster_bytes, b"\0")
            await store.write_sectors(store.sectors_of([cluster]), content)
            store.table.link([cluster])
            await store.write_table()
            await store.flush()
            await directory.add(name, new_entry(kind, cluster, 0))
        except DeviceError:
            raise
        except BaseException:
            store.table.release([cluster])
            raise

    async def _remove(self, path: str) -> None:
        self._need_writable()
        directory, name = await self._above(path)
        named = _known(directory, name)
        file = self._files.pop(path, None)
        if named.entry.kind is Kind.DIRECTORY:
            below = await self._directory(_first_of(named))
            if below.entries:
                raise NotEmpty(f"{name} is not empty")
            clusters = below.clusters
            self._directories.pop(_first_of(named))
        else:
            clusters = file.synced if file else self._clusters_of(named)
        await directory.remove(named)
        if file is not None:
            self.store.table.give_back(file.clusters)
        await self._free(clusters)

    async def _rename(self, path: str, new_path: str) -> None:
        self._need_writable()
        self._need_room_for_name(into_reserve=False)
        directory, name = await self._above(path)
        to, new_name = await self._above(new_path)
        entry = _known(directory, name).entry
        there = to.like(new_name)
        moved = evolve(entry, moves=entry.moves + 1)
        replaced: list[int] = []
        if there is not None and there.name == new_name and there.entry.kind is Kind.FILE is entry.kind:
            replaced = self._clusters_of(there)
            await to.lead(there, moved.first, moved.size, moved.moves)
        elif there is None or (to is directory and there.name == name):
            await to.add(new_name, moved)
        else:
            raise AlreadyExists(f"there is a {there.name} already")
        if entry.kind is Kind.DIRECTORY and to is not directory:
            await (await self._directory(_first_of(_known(directory, name)))).set_parent(to.first)
        await directory.remove(_known(directory, name))
        await self._free(replaced)

    # Content

    def _need_writable(self) -> None:
        if self.disk.is_read_only:
            raise NotPermitted("the disk is read-only")
        if not self.is_sound:
            raise NotPermitted("the file system contradicts itself, and is only read until somebody has repaired it")

    def _clusters_of(self, named: Named) -> Clusters:
        entry = named.entry
        return self.store.table.chain_of(entry.first, entry.size) if entry.size else []

    async def _file(self, path: str) -> _File:
        """A file in use. Those that have nothing to sync are found again when they are asked for."""
        file = self._files.get(path)
        if file is not None:
            return file
        directory, name = await self._above(path)
        named = _known(directory, name)
        if named.entry.kind is Kind.DIRECTORY:
            raise WrongKind(f"{name} is a directory")
        clusters = self._clusters_of(named)
        file = _File(directory, name, named.entry.size, clusters, named.entry.size, list(clusters))
        self._files[path] = file
        return file

    async def _file_to_change(self, path: str) -> _File:
        self._need_writable()
        file = await self._file(path)
        if _known(file.directory, file.name).entry.attributes & READ_ONLY:
            raise NotPermitted(f"{file.name} is marked as read-only")
        self._unsynced.changed(path)
        return file

    async def _read(self, path: str, offset: int, size: int) -> bytes:
        file = await self._file(path)
        end = min(offset + size, file.size)
        if offset >= end:
            return b""
        unit = self.store.layout.cluster_bytes
        first = offset // unit
        sectors = self.store.sectors_of(file.clusters[first : -(-end // unit)])
        skip, until = offset // SECTOR - first * unit // SECTOR, -(-end // SECTOR) - first * unit // SECTOR
        data = await self.store.read_sectors(sectors[skip:until])
        return data[offset % SECTOR :][: end - offset]

    async def _write(self, path: str, offset: int, data: bytes, into_reserve: bool) -> None:
        file = await self._file_to_change(path)
        self._need_room(file, min(offset, file.size), offset + len(data), into_reserve)
        await self._fill(file, offset)
        await self._put(file, offset, data)

    async def _resize(self, path: str, size: int, into_reserve: bool) -> None:
        file = await self._file_to_change(path)
        if size > file.size:
            self._need_room(file, file.size, size, into_reserve)
            await self._fill(file, size)
            return
        keep = -(-size // self.store.layout.cluster_bytes)
        self.store.table.give_back(file.clusters[keep:])
        del file.clusters[keep:]
        file.size = size

    async def _fill(self, file: _File, end: int) -> None:
        """Zeros from the end of a file on."""
        while file.size < end:
            await self._put(file, file.size, bytes(min(_PIECE, end - file.size)))

    def _need_room(self, file: _File, start: int, end: int, into_reserve: bool) -> None:
        """Raises NoSpace unless there are clusters to write there."""
        unit = self.store.layout.cluster_bytes
        within = range(start // unit, min(-(-end // unit), len(file.clusters)))
        changed = sum(self._is_kept(file, index, max(start, index * unit)) for index in within)
        self.store.table.need(changed + max(0, -(-end // unit) - len(file.clusters)), into_reserve=into_reserve)

    def _need_room_for_name(self, into_reserve: bool) -> None:
        """Raises NoSpace unless a directory may grow, and a new one begin, without going into what is kept back."""
        if self.store.table.reserve:
            self.store.table.need(_FOR_NAME, into_reserve=into_reserve)

    def _is_kept(self, file: _File, index: int, start: int) -> bool:
        """Whether a cluster must stay as it is, because it was synced and has content from ``start`` on."""
        return file.clusters[index] not in self.store.table.taken and start < file.synced_size

    async def _put(self, file: _File, offset: int, data: bytes) -> None:
        """Bytes that begin within a file or at its end; there is room."""
        unit, end = self.store.layout.cluster_bytes, offset + len(data)
        sectors: list[int] = []
        content: list[bytes] = []
        for index in range(offset // unit, -(-end // unit)):
            start, stop = max(offset, index * unit), min(end, (index + 1) * unit)
            places, part = await self._changed(file, index, start - index * unit, data[start - offset : stop - offset])
            sectors += places
            content.append(part)
        await self.store.write_sectors(sectors, b"".join(content))
        file.size = max(file.size, end)

    async def _changed(self, file: _File, index: int, start: int, data: bytes) -> tuple[Clusters, bytes]:
        """The sectors to write, and what, so that a cluster has other bytes from ``start`` on."""
        store, unit = self.store, self.store.layout.cluster_bytes
        is_new = index == len(file.clusters)
        if not is_new and not self._is_kept(file, index, index * unit + start):
            first, behind = start // SECTOR, -(-(start + len(data)) // SECTOR)
            places = store.sectors_of([file.clusters[index]])[first:behind]
            start -= first * SECTOR
            old = b"" if len(data) == len(places) * SECTOR else await store.read_sectors(places)
        else:
            old = b"" if is_new else await store.read_sectors(store.sectors_of([file.clusters[index]]))
            cluster = store.table.take()
            places = store.sectors_of([cluster])
            file.clusters[index : index + 1] = [cluster]
        old = old or bytes(len(places) * SECTOR)
        return places, old[:start] + data + old[start + len(data) :]

    # Making it last

    async def _sync(self, file: _File) -> None:
        if file.is_synced:
            await self.store.flush()
            return
        store, table = self.store, self.store.table
        common = min(len(file.synced), len(file.clusters))
        kept = set(file.synced)
        if any(file.clusters[index] != file.synced[index] for index in range(common)) and kept & set(file.clusters):
            # Links among what was synced change: first all that they will lead to must be there.
            await store.flush()
            for cluster, following in zip(file.clusters, [*file.clusters[1:], table.mask], strict=True):
                if cluster not in kept:
                    table[cluster] = following
            await store.write_table()
            await store.flush()
        if file.size >= file.synced_size or not kept & set(file.clusters):
            table.link(file.clusters)
            await store.write_table()
        await store.flush()
        named = _known(file.directory, file.name)
        first = file.clusters[0] if file.clusters else 0
        if (first, file.size) != (named.entry.first, named.entry.size):
            await file.directory.lead(named, first, file.size)
        old, file.synced, file.synced_size = file.synced, list(file.clusters), file.size
        table.link(file.clusters)
        await self._free([cluster for cluster in old if cluster not in set(file.clusters)])

    async def _free(self, clusters: Clusters) -> None:
        """What nothing leads to any more becomes free; a loss of power before that is written does no harm."""
        self.store.table.release(clusters)
        await self.store.write_table()


def _known(directory: FatDirectory, name: str) -> Named:
    """What a name leads to. Raises NotFound."""
    named = directory.find(name)
    if named is None:
        raise NotFound(f"there is no {name}")
    return named


def _first_of(named: Named) -> int:
    """The first cluster of a directory. Raises WrongKind, Corrupt."""
    if named.entry.kind is not Kind.DIRECTORY:
        raise WrongKind(f"{named.name} is a file")
    if not named.entry.first:
        raise Corrupt(f"the directory {named.name} leads to the root")
    return named.entry.first
