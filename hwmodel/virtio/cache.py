"""A disk's volatile write cache: sectors that are written but not on the medium yet, oldest first."""

from itertools import islice

from hwmodel.block import SECTOR, BlockBacking
from hwmodel.seeded import draw
from hwmodel.stateful import Saveable, Stateful

CAPACITY = 1024
"""Sectors that the cache holds; one more, and the oldest goes to the medium."""


class WriteCache(Stateful):
    """The cache, and the medium under it."""

    __slots__ = ("_sectors", "medium")
    STATE = ("_sectors",)

    def __init__(self, medium: BlockBacking) -> None:
        self.medium = medium
        self._sectors: dict[int, bytes] = {}

    def __len__(self) -> int:
        """Count the sectors that are not on the medium."""
        return len(self._sectors)

    def parts(self) -> tuple[Saveable, ...]:
        """Return the medium."""
        return (self.medium,)

    def read(self, sector: int, count: int) -> bytes:
        """Return sectors as they were last written. Raises OSError."""
        data = self.medium.read(sector, count)
        newer = [number for number in range(sector, sector + count) if number in self._sectors]
        if not newer:
            return data
        changed = bytearray(data)
        for number in newer:
            start = (number - sector) * SECTOR
            changed[start : start + SECTOR] = self._sectors[number]
        return bytes(changed)

    def write(self, sector: int, data: bytes) -> None:
        """Take whole sectors. Raises OSError if the oldest ones must go and cannot."""
        for start in range(0, len(data), SECTOR):
            number = sector + start // SECTOR
            self._sectors.pop(number, None)
            self._sectors[number] = data[start : start + SECTOR]
        self.drain(len(self._sectors) - CAPACITY)

    def drain(self, count: int) -> None:
        """Bring the oldest `count` sectors to the medium; neighbours in one write. Raises OSError."""
        for number, data in _runs(list(islice(self._sectors.items(), max(count, 0)))):
            self.medium.write(number, data)
            for key in range(number, number + len(data) // SECTOR):
                del self._sectors[key]

    def write_through(self, sector: int, data: bytes) -> None:
        """Write whole sectors to the medium before anything that waits. Raises OSError."""
        self.medium.write(sector, data)
        for number in range(sector, sector + len(data) // SECTOR):
            self._sectors.pop(number, None)

    def lose(self, survival: int, seed: tuple[int, ...]) -> None:
        """The power is gone: forget all, but first bring some to the medium (see `FaultKind.POWER_CUT`)."""
        lost = []
        for number, data in self._sectors.items():
            if survival and draw(2, *seed, number):
                self.medium.write(number, data)
            else:
                lost.append(number)
        if survival == 2 and lost:
            torn = lost[draw(len(lost), *seed, "torn")]
            half = 1 + draw(SECTOR - 1, *seed, "half")
            self.medium.write(torn, self._sectors[torn][:half] + self.medium.read(torn, 1)[half:])
        self._sectors.clear()


def _runs(sectors: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Join sectors that follow each other, in number and in order."""
    runs: list[tuple[int, bytes]] = []
    for number, data in sectors:
        if runs and runs[-1][0] + len(runs[-1][1]) // SECTOR == number:
            runs[-1] = (runs[-1][0], runs[-1][1] + data)
        else:
            runs.append((number, data))
    return runs
