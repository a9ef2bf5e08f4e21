"""One of a mirror's two disks: sectors with versions, each checked when it is read, and a label.

What a driver says is believed only so far as checksums bear it out. All raise DeviceError when the disk fails.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from enum import Enum
from typing import Final

from attrs import define, evolve, field, frozen

from capkernel.protocols.block import SECTOR
from capkernel.protocols.failures import Corrupt, DeviceError
from capkernel.protocols.mirror_label import PLACES, Label, label_of
from servers.storage.disk import Disk
from servers.storage.mirror_layout import (
    EMPTY,
    FIRST,
    MEMBERS,
    NEVER,
    SPAN,
    Table,
    Version,
    groups_on,
    newest,
    place_of,
    read_table,
    start_of,
)

SOUGHT: Final = 16
"""Groups in which a table is looked for if a disk has no label."""
RESTED: Final = 16
"""Groups that are formatted between two signs of life."""


class Found(Enum):
    """What a disk is, by its first sectors."""

    OWN = "one of this mirror's"
    UNLABELLED = "one of this mirror's whose label is spoilt"
    BLANK = "blank"
    STRANGE = "something else"
    UNFIT = "of no use"


@frozen
class Image:
    """A group as it was read: whether its table was there; of each member all versions that the table names, and the
    content of those that are right.
    """

    is_readable: bool
    named: tuple[frozenset[Version], ...]
    held: tuple[Mapping[Version, bytes], ...]

    def is_at(self, member: int, version: Version) -> bool:
        """Whether this is the latest version here, and its content is right."""
        latest = max(self.named[member], key=lambda each: each.number)
        return self.is_readable and latest == version and version in self.held[member]


@define
class _Group:
    """What was read or written last: the table; the places that must not be overwritten before the next flush."""

    table: Table
    place: int
    kept: list[int]
    changed: set[int] = field(factory=set)
    is_changed: bool = False


class MirrorCopy:
    """The disk. ``is_there`` while it is written; ``is_believed`` while what it says of versions counts."""

    def __init__(self, disk: Disk, identity: bytes, side: int) -> None:
        self.disk = disk
        self.identity = identity
        self.side = side
        self.label: Label | None = None
        self.is_there = False
        self.is_believed = False
        self._groups: dict[int, _Group] = {}
        self._changed: set[int] = set()
        self._is_accused = False

    async def open(self) -> Found:
        """Ask what the disk is, and read its label. Raises Corrupt if it is another mirror's.

        If it is none that is of use here its driver may lie: that is complained of, once until the disk is found again,
        and asked again if it was started anew.
        """
        self.leave()
        self.label = None
        try:
            found = await self._asked()
        except Corrupt:
            if not await self._accuse():
                raise
            found = await self._asked()
        else:
            if found not in (Found.OWN, Found.BLANK) and await self._accuse():
                found = await self._asked()
        if found is Found.UNFIT:
            size = f"has {self.disk.sectors} sectors: that is too small for a mirror"
            raise DeviceError(f"disk {self.side} {'can only be read' if self.disk.is_read_only else size}")
        if found is Found.OWN:
            self._is_accused = False
        return found

    async def complain(self) -> bool:
        """Complain of the driver; whether it was started anew."""
        return self.disk.complain is not None and await self.disk.complain()

    async def _accuse(self) -> bool:
        if self._is_accused or not await self.complain():
            return False
        self._is_accused = True
        return True

    async def _asked(self) -> Found:
        try:
            await self.disk.open()
        except Corrupt as failure:
            raise DeviceError(f"disk {self.side}: {failure}") from None
        if self.disk.is_read_only or not self.room:
            return Found.UNFIT
        start = await self.disk.read(0, FIRST)
        label = label_of(start)
        if label is None:
            return await self._without_label(start)
        if label.identity != self.identity:
            raise Corrupt(f"disk {self.side} belongs to another mirror")
        self.label = label
        return Found.OWN

    async def _without_label(self, start: bytes) -> Found:
        for group in range(min(SOUGHT, self.room)):
            if any(await self._tables(group)):
                return Found.UNLABELLED
        return Found.STRANGE if any(start) else Found.BLANK

    @property
    def room(self) -> int:
        """The groups that there is room for."""
        return groups_on(self.disk.sectors)

    def leave(self) -> None:
        """Neither read nor write it any more."""
        self.is_there = self.is_believed = False
        self._groups.clear()
        self._changed.clear()

    async def set_label(self, label: Label) -> None:
        """Write another label into both places, one after the other, and make it last.

        What was written before is made to last first, also what a former life of this server wrote.
        """
        await self.flush()
        for _ in range(PLACES):
            await self.disk.write(label.number % PLACES, label.pack())
            await self.disk.flush()
            self.label = label
            label = evolve(label, number=label.number + 1)

    async def format(self, groups: int, rest: Callable[[], Awaitable[None]]) -> None:
        """Let there be no version of anything; ``rest`` is awaited now and then. The label comes later."""
        self._groups.clear()
        self._changed.clear()
        for group in range(groups):
            await self.disk.write(start_of(group), EMPTY.pack(self.identity, group) + bytes(SECTOR))
            if group % RESTED == 0:
                await rest()
        await self.disk.flush()

    async def read(self, group: int, members: Iterable[int], wanted: Mapping[int, Version]) -> dict[int, bytes]:
        """The contents of those members of a group of which the wanted version is here, and right."""
        table = self._groups[group].table
        found, sought = {}, []
        for member in members:
            if wanted[member] == NEVER:
                found[member] = bytes(SECTOR)
                continue
            places = [place for place in range(PLACES) if table.versions[place][member] == wanted[member]]
            if places:
                sought.append((place_of(group, places[0], member), member))
        for first, run in _runs(sought):
            data = await self.disk.read(first, len(run))
            for index, member in enumerate(run):
                content = data[index * SECTOR : (index + 1) * SECTOR]
                if wanted[member].is_of(group * MEMBERS + member, content):
                    found[member] = content
        return found

    async def write(self, group: int, items: Mapping[int, tuple[Version, bytes]]) -> None:
        """Write members of a group that was loaded, and which versions they are.

        Whose last version is not durable: that is first made so, for it is not to be overwritten before the table says
        where the next one is.
        """
        known = self._groups[group]
        if not known.changed.isdisjoint(items):
            await self.flush()
        self._changed.add(group)
        versions = [list(place) for place in known.table.versions]
        sought = []
        for member, (version, _) in items.items():
            place = 1 - known.kept[member]
            known.changed.add(member)
            versions[place][member] = version
            sought.append((place_of(group, place, member), member))
        known.is_changed = True
        known.table = Table(known.table.number + 1, tuple(tuple(place) for place in versions))
        for first, run in _runs(sought):
            await self.disk.write(first, b"".join(items[member][1] for member in run))
        await self.disk.write(start_of(group) + 1 - known.place, known.table.pack(self.identity, group))

    async def flush(self) -> None:
        """Make what was written last."""
        await self.disk.flush()
        for group in self._changed:
            known = self._groups[group]
            for member in known.changed:
                known.kept[member] = 1 - known.kept[member]
            if known.is_changed:
                known.place = 1 - known.place
            known.changed.clear()
            known.is_changed = False
        self._changed.clear()

    async def load(self, group: int) -> Image:
        """Read all of a group; what was written is made to last before."""
        if group in self._changed:
            await self.flush()
        data = await self._whole(group)
        tables = [
            read_table(data[place * SECTOR : (place + 1) * SECTOR], self.identity, group) for place in range(PLACES)
        ]
        place, table = newest(tables)
        before = self._groups.get(group)
        versions = EMPTY.versions if table is None else table.versions
        number = max(0 if each is None else each.number for each in (table, before.table if before else None))
        held = tuple(self._held(group, member, versions, data) for member in range(MEMBERS))
        named = tuple(frozenset(versions[place][member] for place in range(PLACES)) for member in range(MEMBERS))
        kept = [_kept(held[member], [versions[place][member] for place in range(PLACES)]) for member in range(MEMBERS)]
        self._groups[group] = _Group(Table(number, versions), place, kept)
        return Image(table is not None, named, held if table is not None else ({},) * MEMBERS)

    def _held(
        self, group: int, member: int, versions: tuple[tuple[Version, ...], ...], data: bytes
    ) -> dict[Version, bytes]:
        found = {}
        for place in range(PLACES):
            at = (place_of(group, place, member) - start_of(group)) * SECTOR
            content, version = data[at : at + SECTOR], versions[place][member]
            if version == NEVER:
                found[version] = bytes(SECTOR)
            elif version.is_of(group * MEMBERS + member, content):
                found[version] = content
        return found

    async def _tables(self, group: int) -> list[Table | None]:
        data = await self.disk.read(start_of(group), PLACES)
        return [read_table(data[place * SECTOR :], self.identity, group) for place in range(PLACES)]

    async def _whole(self, group: int) -> bytes:
        """All sectors of a group; one that the disk cannot read is as good as a wrong one."""
        deaths = self.disk.deaths
        try:
            return await self.disk.read(start_of(group), SPAN)
        except DeviceError:
            if self.disk.deaths > deaths:
                raise
        found, failed = [], 0
        for sector in range(start_of(group), start_of(group) + SPAN):
            try:
                found.append(await self.disk.read(sector, 1))
            except DeviceError:
                failed += 1
                if self.disk.deaths > deaths or failed > MEMBERS:
                    raise
                found.append(bytes(SECTOR))
        return b"".join(found)

    def new_label(self, label: Label) -> Label:
        """That label, as the next one to be written here."""
        return evolve(label, number=(self.label.number if self.label else 0) + 1)


def _kept(held: Mapping[Version, bytes], versions: list[Version]) -> int:
    """The place that must not be overwritten: of those that are right, that of the latest version."""
    return max(range(PLACES), key=lambda place: (versions[place] in held, versions[place].number, -place))


def _runs(sought: list[tuple[int, int]]) -> list[tuple[int, list[int]]]:
    """Members whose sectors follow each other, together with the first of these."""
    runs: list[tuple[int, list[int]]] = []
    for sector, member in sorted(sought):
        if runs and runs[-1][0] + len(runs[-1][1]) == sector:
            runs[-1][1].append(member)
        else:
            runs.append((sector, [member]))
    return runs
