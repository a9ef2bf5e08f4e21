"""A driver of a disk whose own code is spoilt: it says that all is done, and now and then it is not, or elsewhere."""

from typing import Final

from servers.drivers import virtio_blk
from servers.drivers.virtio_blk import READ, WRITE, Disk

SKIPPED, MISPLACED, MISREAD = 13, 17, 19
"""Every so many requests a write is not done; a write, a read is done elsewhere."""
APART: Final = 8
"""Sectors from where it is to be done."""


class LyingDisk(Disk):
    """The device, of which it tells what is not so."""

    count = 0

    async def perform(self, kind: int, sector: int, io: int, length: int) -> None:
        """Do a request, or something else."""
        self.count += 1
        if kind == WRITE and self.count % SKIPPED == 0:
            return
        if kind in (READ, WRITE) and self.count % (MISREAD if kind == READ else MISPLACED) == 0:
            sector += APART if sector < self.sectors // 2 else -APART
        await super().perform(kind, sector, io, length)


class Program(virtio_blk.Program):
    """The driver."""

    kind = LyingDisk
