"""Two disks without drivers under a mirror: each may lose power, fail, or lie."""

import random
from collections.abc import Awaitable
from typing import Any, TypeVar

from capkernel.protocols.block import SECTOR
from capkernel.protocols.failures import DeviceError
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import READ, WRITE, steps_of
from servers.storage.disk import Disk
from servers.storage.mirror import Mirror
from servers.storage.mirror_copy import MirrorCopy
from servers.storage.mirror_layout import FIRST, identity_of
from servers.storage.mirror_notes import Notes
from tests.servers.fakedisk import REGION, FakeDisk

T = TypeVar("T")
APART = 0x1_0000
"""Bytes from one transfer region to the other."""
LIES = (
    "lost write",
    "elsewhere",
    "wrong data written",
    "wrong data read",
    "stale read",
    "failure",
    "lost flush",
    "done and denied",
)


class Killed(Exception):
    """The server was ended in the middle of something."""


class Power:
    """What feeds both disks. ``left`` (if not None) counts their writes and flushes until it goes."""

    def __init__(self) -> None:
        self.left: int | None = None


class LyingDisk(FakeDisk):
    """A disk whose driver is spoilt: with ``lies`` it does now and then something else, and says that it did it."""

    def __init__(self, sectors: int) -> None:
        super().__init__(sectors)
        self.power = Power()
        self.unreadable: set[int] = set()
        self.lies: tuple[str, ...] = ()
        self.chance = random.Random(0)
        self.share = 0.3
        self.past = bytes(len(self.durable))
        self.told = self.honest = 0

    def spoil(self, seed: int, lies: tuple[str, ...], share: float = 0.3, honest: int = 0) -> None:
        """Lie from now on, after so many honest answers, and remember how it is now."""
        self.honest = honest
        self.chance, self.lies, self.share = random.Random(seed), lies, share
        self.past = bytes(self.durable)

    def _lies(self, *kinds: str) -> str | None:
        if self.honest:
            self.honest -= 1
            return None
        possible = [kind for kind in kinds if kind in self.lies]
        if not possible or self.chance.random() >= self.share:
            return None
        self.told += 1
        return self.chance.choice(possible)

    def _count_down(self) -> None:
        if self.power.left is not None:
            self.power.left = max(0, self.power.left - 1)
        self._check()

    def _check(self) -> None:
        if self.power.left == 0:
            raise DeviceError("the power is gone")
        super()._check()

    def image(self) -> bytes:
        """All that would be read."""
        content = bytearray(self.durable)
        for at, data in self.cached:
            content[at : at + len(data)] = data
        return bytes(content)

    def become(self, image: bytes) -> None:
        """Hold that instead, but for the labels."""
        start = FIRST * SECTOR
        self.durable[start:] = image[start:]
        self.cached = [(at, data) for at, data in self.cached if at < start]

    async def read(self, sector: int, count: int, offset: int) -> None:
        if self.unreadable & set(range(sector, sector + count)):
            raise DeviceError("a sector cannot be read")
        lie = self._lies("wrong data read", "stale read", "failure")
        if lie == "failure":
            raise DeviceError("so it says")
        await super().read(sector, count, offset)
        if lie == "wrong data read":
            self.memory[offset + self.chance.randrange(count * SECTOR)] ^= 1 << self.chance.randrange(8)
        elif lie == "stale read":
            self.memory[offset : offset + count * SECTOR] = self.past[sector * SECTOR : (sector + count) * SECTOR]

    async def write(self, sector: int, count: int, offset: int) -> None:
        lie = self._lies("lost write", "elsewhere", "wrong data written", "failure", "done and denied")
        if lie == "failure":
            raise DeviceError("so it says")
        if lie == "lost write":
            self._count_down()
            return
        if lie == "elsewhere":
            sector = self.chance.randrange(len(self.durable) // SECTOR - count + 1)
        if lie == "wrong data written":
            self.memory[offset + self.chance.randrange(count * SECTOR)] ^= 1 << self.chance.randrange(8)
        await super().write(sector, count, offset)
        self.unreadable -= set(range(sector, sector + count))
        if lie == "done and denied":
            raise DeviceError("so it says")

    async def flush(self) -> None:
        lie = self._lies("failure", "lost flush", "done and denied")
        if lie == "failure":
            raise DeviceError("so it says")
        if lie is None:
            await super().flush()


class MirrorBench:
    """The two disks; ``open`` makes a mirror server's next life."""

    def __init__(self, *sectors: int) -> None:
        self.disks = [LyingDisk(each) for each in sectors or (8 + 3 * 34, 8 + 3 * 34 + 5)]
        self.power = Power()
        for disk in self.disks:
            disk.power = self.power
        self.notes = Notes(0)
        self.said: list[str] = []
        self.lives = 0
        self.mirror: Any = None

    def lose_power(self, *survivors: list[bool]) -> None:
        """All stops; of what a disk had not flushed those sectors are there that its list says, over and over."""
        self.power.left = None
        for disk, some in zip(self.disks, survivors, strict=True):
            disk.lose_some(some)

    def tear(self, *places: tuple[int, int]) -> None:
        """All stops; of what a disk had not flushed the first writes are there, and some bytes of the next."""
        self.power.left = None
        for disk, (kept, torn) in zip(self.disks, places, strict=True):
            disk.lose_power(kept, torn)

    def life(self, name: str = "mirror", *, swapped: bool = False) -> Mirror:
        """A mirror that has not been opened."""
        copies = []
        for side in range(2):
            place = 1 - side if swapped else side
            region = SharedRegion(REGION.vaddr + place * APART, REGION.size)
            copies.append(MirrorCopy(Disk(self.disks[place], region, driver_tries=3), identity_of(name), side))
        self.lives += 1
        self.mirror = Mirror(copies, self.notes, self._rest, self._say, self.lives.to_bytes(4, "little"))
        self.mirror.piece = 1
        return self.mirror

    def open(
        self, name: str = "mirror", *, swapped: bool = False, doubted: tuple[int, int] | None = None
    ) -> Mirror:  # fmt: skip
        """The server is started."""
        mirror = self.life(name, swapped=swapped)
        self.run(mirror.open(doubted=doubted))
        return mirror

    def look_on(self, beats: int = 200) -> None:
        """Let time pass in which nobody asks for anything, until there is nothing to do."""
        for _ in range(beats):
            if self.mirror.is_whole:
                return
            self.run(self.mirror.look_on())

    def read(self, sector: int, count: int = 1) -> bytes:
        return self.run(self.mirror.read(sector, count))

    def write(self, sector: int, data: bytes) -> None:
        self.run(self.mirror.write(sector, data))

    def flush(self) -> None:
        self.run(self.mirror.flush())

    def run(self, awaitable: Awaitable[T], most: int = 1 << 30) -> T:
        """Run something, with both transfer regions as its memory. Raises Killed after so many accesses to it."""
        steps, answer = steps_of(awaitable), None
        while True:
            if not most:
                steps.close()
                raise Killed
            most -= 1
            try:
                operation: Any = steps.send(answer)
            except StopIteration as end:
                return end.value
            kind, vaddr, value = operation
            memory = self.disks[(vaddr - REGION.vaddr) // APART].memory
            start = (vaddr - REGION.vaddr) % APART
            if kind == READ:
                answer = bytes(memory[start : start + value])
            else:
                assert kind == WRITE
                memory[start : start + len(value)] = value
                answer = None

    async def _rest(self) -> None:
        """There is nobody who waits for a sign of life."""

    async def _say(self, text: str) -> None:
        self.said.append(text)
