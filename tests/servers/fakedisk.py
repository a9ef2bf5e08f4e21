"""A disk without a driver: a servant on bytes, and a way to run what awaits it outside of any system."""

from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from capkernel.protocols.block import SECTOR, Block, BlockInfo
from capkernel.protocols.failures import DeviceError
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import READ, WRITE
from tests.servers.stepping import run_steps

T = TypeVar("T")
REGION = SharedRegion(0x1000, 0x4000)


class FakeDisk(Block):
    """Sectors in memory. ``writes_left`` (if not None) counts writes and flushes until the power goes: then all fails.

    What was not flushed is lost at the loss of power, but for the first ``kept`` of the writes.
    """

    def __init__(self, sectors: int) -> None:
        self.durable = bytearray(sectors * SECTOR)
        self.cached: list[tuple[int, bytes]] = []
        self.memory = bytearray(REGION.size)
        self.writes_left: int | None = None
        self.failing = False
        self.requests = 0

    def lose_power(self, kept: int = 0, torn: int = 0) -> None:
        """Forget what was not flushed, but for some of it; of the next one only ``torn`` bytes get there."""
        for at, data in self.cached[:kept]:
            self.durable[at : at + len(data)] = data
        for at, data in self.cached[kept : kept + 1]:
            self.durable[at : at + torn] = data[:torn]
        self.cached = []
        self.writes_left, self.failing = None, False

    def lose_some(self, survivors: Sequence[bool]) -> None:
        """Lose power; of the sectors that were not flushed those get there that ``survivors`` says, over and over."""
        number = 0
        for at, data in self.cached:
            for start in range(0, len(data), SECTOR):
                if survivors[number % len(survivors)]:
                    self.durable[at + start : at + start + SECTOR] = data[start : start + SECTOR]
                number += 1
        self.lose_power()

    async def info(self) -> BlockInfo:
        return BlockInfo(len(self.durable) // SECTOR, False, REGION.size, "fake")

    async def read(self, sector: int, count: int, offset: int) -> None:
        self._check()
        start, end = sector * SECTOR, (sector + count) * SECTOR
        content = self.durable[start:end]
        for at, data in self.cached:
            low, high = max(at, start), min(at + len(data), end)
            if low < high:
                content[low - start : high - start] = data[low - at : high - at]
        self.memory[offset : offset + count * SECTOR] = content

    async def write(self, sector: int, count: int, offset: int) -> None:
        self._count_down()
        self.cached.append((sector * SECTOR, bytes(self.memory[offset : offset + count * SECTOR])))

    async def flush(self) -> None:
        self._count_down()
        for at, data in self.cached:
            self.durable[at : at + len(data)] = data
        self.cached = []

    def _count_down(self) -> None:
        if self.writes_left is not None:
            self.failing = self.failing or self.writes_left == 0
            self.writes_left -= 1
        self._check()

    def _check(self) -> None:
        self.requests += 1
        if self.failing:
            raise DeviceError("the power is gone")

    def run(self, awaitable: Awaitable[T]) -> T:
        """Run something that uses the disk, with the transfer region as its only memory."""
        return run_steps(awaitable, self._access)

    def _access(self, kind: int, vaddr: int, value: Any) -> bytes | None:
        start = vaddr - REGION.vaddr
        if kind == READ:
            return bytes(self.memory[start : start + value])
        assert kind == WRITE
        self.memory[start : start + len(value)] = value
        return None
