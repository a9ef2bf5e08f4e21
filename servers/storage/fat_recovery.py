"""What a loss of power leaves behind in a FAT file system, put right when it is mounted.

Each change is made so that a loss of power can leave just this, and none of it is anything that was acknowledged:

* clusters that belong to nothing, which become free; a file with more clusters than its size asks for, likewise;
* something that was being moved and has its old name and its new one: the new one, with one move more, counts;
* a moved directory that still says that it lies where it did; copies of the table that are not the first one's equal.

Anything else was not done here. Then nothing is changed, and the file system is only read: to take apart what is linked
twice is a human's decision (``fsck.fat``).
"""

from typing import Final

from attrs import define, field

from capkernel.protocols.failures import Corrupt
from capkernel.protocols.files import Kind
from servers.storage.fat_layout import FIRST_CLUSTER
from servers.storage.fat_names import MAX_MOVES, Named
from servers.storage.fat_store import FatDirectory, FatStore

_BAD_BIT: Final = 8
"""Of an entry: without it, one that would end a chain says that the cluster is bad."""


@define
class _Found:
    """What a walk found: clusters in use, what begins at which cluster, and what is to be put right."""

    used: set[int] = field(factory=set)
    begins: dict[int, tuple[FatDirectory, Named]] = field(factory=dict)
    doubled: list[tuple[FatDirectory, Named]] = field(factory=list)
    hollow: list[tuple[FatDirectory, Named]] = field(factory=list)
    ends: list[int] = field(factory=list)
    directories: dict[int, FatDirectory] = field(factory=dict)


async def recover(store: FatStore) -> bool:
    """Put right what can be. False if something contradicts itself; then nothing was changed. Raises DeviceError."""
    try:
        found = await _walk(store)
    except Corrupt:
        return False
    if not store.disk.is_read_only:
        await _repair(store, found)
    return True


async def _walk(store: FatStore) -> _Found:
    """Look at every name. Raises Corrupt."""
    found = _Found()
    root = await FatDirectory(store, 0).read()
    _use(found, root.clusters)
    pending = [root]
    while pending:
        directory = pending.pop()
        for named in directory.entries:
            below = await _look(store, found, directory, named)
            if below is not None:
                pending.append(below)
    return found


async def _look(store: FatStore, found: _Found, directory: FatDirectory, named: Named) -> FatDirectory | None:
    """Look at one name; a directory that was not seen yet is returned."""
    entry = named.entry
    is_directory = entry.kind is Kind.DIRECTORY
    if not entry.size and not is_directory:
        if entry.first:
            found.hollow.append((directory, named))
        return None
    if entry.first in found.begins:
        found.begins[entry.first] = _newer(found, (directory, named), found.begins[entry.first])
        return None
    found.begins[entry.first] = directory, named
    if not is_directory:
        clusters = store.table.chain_of(entry.first, entry.size)
        _use(found, clusters)
        if store.table[clusters[-1]] < store.table.mask & ~7:
            found.ends.append(clusters[-1])
        return None
    if not store.table.is_cluster(entry.first):
        raise Corrupt(f"the directory {named.name} begins at cluster {entry.first}")
    below = found.directories[entry.first] = await FatDirectory(store, entry.first).read()
    _use(found, below.clusters)
    return below


def _use(found: _Found, clusters: list[int]) -> None:
    if not found.used.isdisjoint(clusters):
        raise Corrupt("a cluster belongs to two files")
    found.used.update(clusters)


def _newer(
    found: _Found, one: tuple[FatDirectory, Named], other: tuple[FatDirectory, Named]
) -> tuple[FatDirectory, Named]:
    """Which of two names of the same thing it was moved to; the other one is to go. Raises Corrupt if it was not."""
    first, second = one[1].entry, other[1].entry
    if (first.kind, first.size) == (second.kind, second.size):
        for newer, older in ((one, other), (other, one)):
            if newer[1].entry.moves == (older[1].entry.moves + 1) % MAX_MOVES:
                found.doubled.append(older)
                return newer
    raise Corrupt("two files begin at the same cluster")


async def _repair(store: FatStore, found: _Found) -> None:
    table = store.table
    for directory, named in found.hollow:
        await directory.lead(named, 0, 0)
    for first, below in found.directories.items():
        await below.set_parent(found.begins[first][0].first)
    for directory, named in found.doubled:
        await directory.remove(named)
    for cluster in found.ends:
        table[cluster] = table.mask
    bad = table.mask & ~_BAD_BIT
    for cluster in range(FIRST_CLUSTER, store.layout.end):
        if cluster not in found.used and table[cluster] not in (0, bad):
            table[cluster] = 0
    if store.copies_differ:
        table.changed = set(range(store.layout.table_sectors))
    await store.forget_count()
    await store.write_table()
    await store.flush()
