"""A disk's driver that says that all is well, and in its first life soon reads another sector than it is asked for."""

from capkernel.user.loop import PD
from servers.drivers import virtio_blk
from servers.drivers.virtio_blk import READ, Disk

REQUESTS = 40
"""That it serves rightly in its first life."""


class CrookedDisk(Disk):
    """The device, as long as it is told the truth about it."""

    left = 1 << 30

    async def perform(self, kind: int, sector: int, io: int, length: int) -> None:
        """Do it, or something near to it."""
        self.left -= 1
        await super().perform(kind, sector ^ 1 if kind == READ and self.left < 0 else sector, io, length)


class Program(virtio_blk.Program):
    """The driver."""

    kind = CrookedDisk
    crooked_lives = 1

    async def init(self, pd: PD) -> None:
        """Note which life this is."""
        await super().init(pd)
        if pd.life <= self.crooked_lives:
            self.disk.left = REQUESTS
