"""What a mirror's server tells of itself in memory that others may read: whether both disks are in step.

Words: whether it serves (``Stage``), a bit for each disk that is there, a bit for each that is believed, how many
groups were compared, how many there are, how many sectors were put right.
"""

import struct
from enum import IntEnum
from typing import Final

from attrs import frozen

from capkernel.user.operations import read, write
from servers.storage.mirror import Mirror

_WORDS: Final = struct.Struct("<6Q")
SIZE: Final = _WORDS.size


class Stage(IntEnum):
    """Whether it serves: it looks what the disks are, or makes a mirror of them; it does; they are none."""

    OPENING = 0
    OPEN = 1
    REFUSING = 2


@frozen
class MirrorStatus:
    """The state of the two. A disk that is there and not believed is behind, and being brought up to date."""

    stage: int
    there: tuple[bool, bool]
    believed: tuple[bool, bool]
    compared: int
    groups: int
    mended: int

    @classmethod
    def of(cls, mirror: Mirror, stage: Stage) -> "MirrorStatus":
        """A mirror's."""
        first, second = mirror.copies
        return cls(
            stage, (first.is_there, second.is_there), (first.is_believed, second.is_believed),
            mirror.compared, mirror.groups, mirror.mended,
        )  # fmt: skip

    @classmethod
    def unpack(cls, data: bytes) -> "MirrorStatus":
        """From what is in the memory."""
        stage, there, believed, compared, groups, mended = _WORDS.unpack_from(data)
        return cls(stage, _flags(there), _flags(believed), compared, groups, mended)

    def pack(self) -> bytes:
        """For the memory."""
        bits = [sum(flag << side for side, flag in enumerate(flags)) for flags in (self.there, self.believed)]
        return _WORDS.pack(self.stage, *bits, self.compared, self.groups, self.mended)

    def words(self) -> str:
        """In words."""
        mended = f"; {self.mended} sectors were put right" if self.mended else ""
        if self.stage != Stage.OPEN:
            return "two disks that are no mirror" if self.stage == Stage.REFUSING else "a mirror that is being opened"
        for side in range(2):
            if not self.there[side]:
                return f"a mirror: disk {side + 1} is not in use, disk {2 - side} goes on alone{mended}"
            if not self.believed[side]:
                done = f"{self.compared} of {self.groups} groups are"
                return f"a mirror: disk {side + 1} is behind and brought up to date, {done}{mended}"
        if self.compared < self.groups:
            return f"a mirror: both disks are in use, {self.compared} of {self.groups} groups compared{mended}"
        return f"a mirror: both disks are in step{mended}"


class StatusPage:
    """The memory, at ``vaddr``; 0 if there is none. Only what has changed is written."""

    def __init__(self, vaddr: int) -> None:
        self.vaddr = vaddr
        self._told = b""

    async def tell(self, mirror: Mirror, stage: Stage) -> None:
        """Say how it is."""
        said = MirrorStatus.of(mirror, stage).pack()
        if self.vaddr and said != self._told:
            self._told = said
            await write(self.vaddr, said)


async def status_at(vaddr: int) -> MirrorStatus:
    """What is told in the memory there."""
    return MirrorStatus.unpack(await read(vaddr, SIZE))


def _flags(bits: int) -> tuple[bool, bool]:
    return bool(bits & 1), bool(bits & 2)
