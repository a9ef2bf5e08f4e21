"""A mirror: two disks that hold the same, of which either may fail or lie.

Every sector is written to both, with a version. What is read is checked; what is wrong or stale on one disk is taken
from the other, and mended. A disk that fails is left, after the other one's label says so; it comes back when it
answers again, and is believed again when all groups have been compared. See docs/storage.md for the rules.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from attrs import evolve, frozen

from capkernel.protocols.block import SECTOR
from capkernel.protocols.failures import Corrupt, DeviceError
from capkernel.protocols.mirror_label import LINE, STEPS, Label, State, check_pair, first_of, is_behind
from servers.storage.mirror_copy import Found, Image, MirrorCopy
from servers.storage.mirror_layout import MEMBERS, Version, checksum_of
from servers.storage.mirror_notes import Notes

PIECE: Final = 16
"""Groups that are compared at a time: a client may have to wait for them, half a millisecond with a fast disk."""
LONGEST_WAIT: Final = 64
"""Beats until a disk that was left is tried again, at most; at first it is one."""


@frozen
class Part:
    """Sectors that follow each other in one group."""

    group: int
    first: int
    count: int

    @property
    def members(self) -> range:
        """Their places in the group."""
        return range(self.first, self.first + self.count)


class Mirror:
    """The two disks as one. ``notes`` outlive it; ``rest`` is awaited now and then in what takes long; ``say`` tells
    people; ``chance`` is another one each time, as far as anybody can see to that.
    """

    def __init__(
        self,
        copies: Sequence[MirrorCopy],
        notes: Notes,
        rest: Callable[[], Awaitable[None]],
        say: Callable[[str], Awaitable[None]],
        chance: bytes = b"",
    ) -> None:
        self.copies = copies
        self.groups = 0
        self.mended = 0
        """How many sectors of a disk were put right."""
        self.piece = PIECE
        self._notes = notes
        self._rest = rest
        self._say = say
        self._chance = chance
        self._epoch = self._life = self._last = 0
        """Of the last life both disks may know, unless one was left in it."""
        self._line: bytes = bytes(LINE)
        self._past: tuple[tuple[bytes, int], ...] = ()
        self._sides = (0, 1)
        """Which disk of the mirror each copy is by its label: they may have changed places."""
        self._owed = False
        """Whether a label must still say that a disk was left."""
        self._known: dict[int, list[Version]] = {}
        self._settled: set[int] = set()
        self._next = 0
        self._waits = [0, 0]
        self._failures = [0, 0]
        self._said = ["", ""]

    @property
    def sectors(self) -> int:
        """How many there are."""
        return self.groups * MEMBERS

    @property
    def compared(self) -> int:
        """How many groups were compared, since it was last thought that the disks might differ."""
        return self._next

    @property
    def is_whole(self) -> bool:
        """Whether both disks hold everything, as far as is known."""
        return self._next >= self.groups and all(copy.is_believed for copy in self.copies)

    # Opening

    async def open(self, unasked: Mapping[int, int] | None = None, doubted: tuple[int, int] | None = None) -> None:
        """Find out what the disks are. Of ``unasked`` disks nobody asks it, as if they did not answer, for so many
        beats, unless the other one is not enough.

        ``doubted`` are sectors that were being written when the last life ended, the first one and how many: what is
        found there now is written anew, so that it stays.

        Two blank disks become a mirror. Raises Corrupt if they do not belong together, DeviceError.
        """
        unasked = unasked or {}
        self._known.clear()
        self._settled.clear()
        self._next, self._owed = 0, False
        found = [await self._found(copy, copy.side in unasked) for copy in self.copies]
        for copy, other in (self.copies, self.copies[::-1]):
            if copy.side in unasked and is_behind(other.label, None):
                # The other one is not enough.
                found[copy.side] = await self._found(copy)
        labels = [copy.label for copy in self.copies]
        if all(
            each is Found.BLANK or (label is not None and label.state is State.NEW)
            for each, label in zip(found, labels, strict=True)
        ):
            await self._make()
            return
        if not any(labels):
            kind = DeviceError if None in found else Corrupt
            raise kind(f"there is no mirror: disk 0 is {_words(found[0])}, disk 1 is {_words(found[1])}")
        check_pair(labels)
        self._epoch = max(label.epoch for label in labels if label)
        latest = max(label.life for label in labels if label)
        self._life = latest + STEPS
        self.groups = max(label.groups for label in labels if label)
        noted = await self._notes.behind()
        behind = [side in noted or is_behind(labels[side], labels[1 - side]) for side in range(2)]
        if all(behind):
            raise DeviceError("what is on the one disk is older than what is on the other, which does not answer")
        # A disk that does not answer may be a step ahead.
        self._last = latest + STEPS - 1
        self._follow(behind.index(False))
        for copy, counts_not in zip(self.copies, behind, strict=True):
            copy.is_there = copy.is_believed = not counts_not and copy.room >= self.groups
        if not any(copy.is_there for copy in self.copies):
            raise DeviceError(f"a disk has become smaller: {self.groups} groups do not fit")
        for copy, other in (self.copies, self.copies[::-1]):
            if not copy.is_there:
                await self._leave(copy, other, "it is behind" if copy.label else f"it is {_words(found[copy.side])}")
                self._waits[copy.side] = unasked.get(copy.side, self._waits[copy.side])
                if copy.label and copy.label.state is not State.BEHIND:
                    with suppress(DeviceError):
                        # It may be alone at the next start.
                        await copy.set_label(self._label(copy, State.BEHIND))
        await self._begin_life(latest)
        if doubted is not None:
            for part in _parts(*doubted, self.sectors):
                await self._settle(part.group, part.members)

    def _follow(self, side: int) -> None:
        """Go on with what that copy's label says."""
        label = self.copies[side].label
        if label is not None:
            self._line, self._past = label.line, label.past
            self._sides = (label.side, 1 - label.side) if side == 0 else (1 - label.side, label.side)

    async def _found(self, copy: MirrorCopy, is_unasked: bool = False) -> Found | None:
        """What a disk is; None if that cannot be said. Raises Corrupt if it is another mirror's."""
        if is_unasked:
            copy.leave()
            copy.label = None
            return None
        try:
            return await copy.open()
        except DeviceError as failure:
            copy.label = None
            await self._tell(copy, f"disk {copy.side} does not answer: {failure}")
            return None

    async def _make(self) -> None:
        """Let two blank disks be a mirror."""
        self.groups, self._epoch = min(copy.room for copy in self.copies), 1
        self._life = self._last = 1
        self._line, self._past, self._sides = bytes(LINE), (), (0, 1)
        for copy in self.copies:
            await copy.set_label(self._label(copy, State.NEW))
            await copy.format(self.groups, self._rest)
        await self._notes.set_behind(())
        for copy in self.copies:
            await copy.set_label(self._label(copy, State.BOTH))
            copy.is_there = copy.is_believed = True

    async def _begin_life(self, latest: int) -> None:
        """Let the labels say that both were opened: a disk that does not know of it is an older one.

        Step by step, and first the one that is a step behind, so that a loss of power never lets them be two apart.
        """
        self._last = self._life
        for life in range(latest + 1, self._life + 1):
            for copy in sorted(self.copies, key=lambda each: each.label.life if each.label else 0):
                if copy.is_there and copy.label and copy.label.life < life:
                    await self._try(copy, copy.set_label(evolve(self._label(copy, copy.label.state), life=life)))

    # What clients want

    async def read(self, sector: int, count: int) -> bytes:
        """The content of sectors. Raises DeviceError."""
        return b"".join([await self._read(part) for part in _parts(sector, count)])

    async def write(self, sector: int, data: bytes) -> None:
        """Whole sectors. Raises DeviceError; then each is as it was or as it was to be."""
        at = 0
        for part in _parts(sector, len(data) // SECTOR):
            await self._write(part, data[at : at + part.count * SECTOR])
            at += part.count * SECTOR

    async def flush(self) -> None:
        """Make what was written last, on each disk that is there. Raises DeviceError."""
        for copy in self.copies:
            if copy.is_there:
                await self._try(copy, copy.flush())
        if self._owed:
            await self._go_on_alone()

    async def _read(self, part: Part) -> bytes:
        if part.group not in self._settled:
            await self._settle(part.group)
        known = self._known[part.group]
        wanted = {member: known[member] for member in part.members}
        order = self.copies if part.group % 2 == 0 else self.copies[::-1]
        for copy in order:
            if copy.is_there:
                found = await self._try(copy, copy.read(part.group, part.members, wanted))
                if found is not None and len(found) == part.count:
                    return b"".join(found[member] for member in part.members)
                if found is not None:
                    # It said that it had written, or read, something else: whoever drives it may be out of its mind.
                    await copy.complain()
                    break
        contents = await self._settle(part.group)
        for member in part.members:
            if member not in contents:
                raise DeviceError(f"sector {part.group * MEMBERS + member} is right on neither disk")
        # Whoever was wrong here may be so elsewhere.
        self._next = 0
        return b"".join(contents[member] for member in part.members)

    async def _write(self, part: Part, data: bytes) -> None:
        if part.group not in self._settled:
            await self._settle(part.group)
        known, items = self._known[part.group], {}
        for index, member in enumerate(part.members):
            content = data[index * SECTOR : (index + 1) * SECTOR]
            checksum = checksum_of(part.group * MEMBERS + member, content)
            number = max(known[member].number + 1, first_of(self._life))
            items[member] = Version(number, checksum), content
        try:
            for copy in self.copies:
                if copy.is_there:
                    await self._try(copy, copy.write(part.group, items))
        except DeviceError:
            # The disk itself must say what is there now.
            self._forget(part.group)
            raise
        for member, (version, _) in items.items():
            known[member] = version

    # Comparing

    async def _settle(self, group: int, doubted: Collection[int] = ()) -> dict[int, bytes]:
        """Let both disks hold the same of a group: what is known, or else the latest that is right. Returns it.

        ``doubted`` members are written anew, with higher numbers than anybody ever used.
        """
        images: dict[int, Image] = {}
        for copy in self.copies:
            if copy.is_there and (image := await self._try(copy, copy.load(group))) is not None:
                images[copy.side] = image
        known = self._known.get(group)
        sources = [image for side, image in images.items() if self.copies[side].is_believed and image.is_readable]
        if known is None and not sources:
            raise DeviceError(f"on neither disk it can be read what the sectors from {group * MEMBERS} on are")
        versions, contents = [], {}
        for member in range(MEMBERS):
            version = known[member] if known else _latest(sources, member)
            content = next(
                (each.held[member][version] for each in images.values() if version in each.held[member]), None
            )
            if content is not None:
                if member in doubted or not _is_highest(version, images.values(), member):
                    version = self._next_version(version, images.values(), group * MEMBERS + member, content)
                contents[member] = content
            versions.append(version)
        await self._mend(group, images, versions, contents)
        self._known[group] = versions
        self._settled.add(group)
        return contents

    async def _mend(
        self, group: int, images: dict[int, Image], versions: list[Version], contents: dict[int, bytes]
    ) -> None:
        """Write what is not right on a disk."""
        self._forget(group)
        for side, image in images.items():
            copy = self.copies[side]
            wrong = {
                member: (versions[member], content)
                for member, content in contents.items()
                if not image.is_at(member, versions[member])
            }
            if copy.is_there and (wrong or not image.is_readable):
                self.mended += len(wrong)
                await self._try(copy, copy.write(group, wrong))

    def _next_version(self, version: Version, images: Iterable[Image], sector: int, content: bytes) -> Version:
        """A version of the same content, above all that are named, and all that a former life may have written."""
        named = max(each.number for image in images for each in image.named[sector % MEMBERS])
        number = max(version.number + 1, named + 1, first_of(self._life))
        return Version(number, checksum_of(sector, content))

    def _forget(self, group: int) -> None:
        self._known.pop(group, None)
        self._settled.discard(group)

    def _label(self, copy: MirrorCopy, state: State, step: int = 0) -> Label:
        side = self._sides[copy.side]
        return copy.new_label(
            Label(copy.identity, 0, self._epoch + step, self._life, self.groups, side, state, self._line, self._past)
        )

    # Failing, and coming back

    async def _try(self, copy: MirrorCopy, work: Awaitable[Any]) -> Any:
        """What comes of it; None if the disk failed and was left. Raises DeviceError if there is no other."""
        try:
            return await work
        except DeviceError as failure:
            other = self.copies[1 - copy.side]
            if not other.is_believed:
                raise
            await self._leave(copy, other, str(failure))
            return None

    async def _leave(self, copy: MirrorCopy, other: MirrorCopy, reason: str) -> None:
        """Go on without a disk. Raises DeviceError if the other one cannot be made to say so."""
        await self._tell(copy, f"disk {copy.side} is left: {reason}")
        copy.leave()
        await self._notes.set_behind((copy.side,))
        self._waits[copy.side] = min(LONGEST_WAIT, 1 << self._failures[copy.side])
        self._failures[copy.side] += 1
        label = other.label
        if label is None or label.state is not State.ALONE or label.epoch < self._epoch:
            self._owed = True
            await self._go_on_alone()

    async def _go_on_alone(self) -> None:
        """Let the label of the disk that is believed say that the other one is behind."""
        copy = next(copy for copy in self.copies if copy.is_believed)
        label = self._label(copy, State.ALONE, 1).alone(self._last, self._chance)
        await copy.set_label(label)
        self._epoch += 1
        self._line, self._past = label.line, label.past
        self._owed = False

    async def look_on(self) -> None:
        """A piece of what is to be done when nobody asks: compare some groups, or try a disk that was left.

        Raises DeviceError.
        """
        for copy in self.copies:
            if not copy.is_there:
                self._waits[copy.side] -= 1
                if self._waits[copy.side] > 0 or not await self._take_back(copy):
                    return
                break
        if self.is_whole:
            self._failures = [0, 0]
            return
        for group in range(self._next, min(self._next + self.piece, self.groups)):
            await self._settle(group)
            self._next = group + 1
        if self._next < self.groups:
            return
        # Whoever is told that both are in step may take one away: what was put right has to last by then.
        await self.flush()
        if not self.is_whole and all(copy.is_there for copy in self.copies):
            await self._join()

    async def _take_back(self, copy: MirrorCopy) -> bool:
        """Write a disk again if it answers. It is behind, and not believed before all was compared."""
        self._waits[copy.side] = min(LONGEST_WAIT, 1 << self._failures[copy.side])
        self._failures[copy.side] += 1
        try:
            found = await copy.open()
            if found is Found.STRANGE or copy.room < self.groups:
                raise DeviceError(f"it is {_words(found)}, or too small")
            check_pair((copy.label, self.copies[1 - copy.side].label))
            await copy.set_label(self._label(copy, State.BEHIND))
        except (DeviceError, Corrupt) as failure:
            copy.leave()
            await self._tell(copy, f"disk {copy.side} stays away: {failure}")
            return False
        copy.is_there = True
        self._settled.clear()
        self._next = 0
        return True

    async def _join(self) -> None:
        """All groups were compared: both disks hold the same.

        The one that was believed says so first: until the other one says so too, that is still behind.
        """
        copy = next(copy for copy in self.copies if not copy.is_believed)
        other = self.copies[1 - copy.side]
        await other.set_label(self._label(other, State.BOTH, 1))
        self._epoch += 1
        self._owed = False
        if await self._try(copy, _done(copy.set_label(self._label(copy, State.BOTH)))):
            copy.is_believed = True
            await self._notes.set_behind(())
            await self._tell(copy, f"disk {copy.side} is back")

    async def _tell(self, copy: MirrorCopy, text: str) -> None:
        """Say something of a disk, unless that was said last."""
        if self._said[copy.side] != text:
            self._said[copy.side] = text
            await self._say(text)


async def _done(work: Awaitable[None]) -> bool:
    await work
    return True


def _parts(sector: int, count: int, end: int | None = None) -> Iterator[Part]:
    """The sectors, group by group; none from ``end`` on."""
    count = count if end is None else min(count, end - sector)
    while count > 0:
        group, first = divmod(sector, MEMBERS)
        size = min(count, MEMBERS - first)
        yield Part(group, first, size)
        sector, count = sector + size, count - size


def _words(found: Found | None) -> str:
    return "not there" if found is None else found.value


def _latest(sources: Sequence[Image], member: int) -> Version:
    """The latest version of which the content is right; if there is none, the latest that is named."""
    held = [version for image in sources for version in image.held[member]]
    named = [version for image in sources for version in image.named[member]]
    return max(held or named, key=lambda each: each.number)


def _is_highest(version: Version, images: Iterable[Image], member: int) -> bool:
    """Whether no other is named that might be taken for later."""
    others = [each.number for image in images for each in image.named[member] if each != version]
    return not others or max(others) < version.number
