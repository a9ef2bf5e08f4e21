"""A disk's driver that lives, gives signs of life, and fails every request but the first ones, in its first life."""

from capkernel.protocols.failures import DeviceError
from capkernel.user.loop import PD
from servers.drivers import virtio_blk
from servers.drivers.virtio_blk import Disk

REQUESTS = 12
"""That it serves rightly in its first life."""


class SullenDisk(Disk):
    """The device, as long as it is asked."""

    left = 1 << 30

    async def perform(self, kind: int, sector: int, io: int, length: int) -> None:
        """Do it, or not."""
        if self.left <= 0:
            raise DeviceError("no")
        self.left -= 1
        await super().perform(kind, sector, io, length)


class Program(virtio_blk.Program):
    """The driver."""

    kind = SullenDisk
    sullen_lives = 1

    async def init(self, pd: PD) -> None:
        """Note which life this is."""
        await super().init(pd)
        if pd.life <= self.sullen_lives:
            self.disk.left = REQUESTS

