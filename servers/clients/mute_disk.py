"""A driver of a disk that says what the disk is, gives signs of life, and never does anything, in any of its lives."""

from capkernel.user.tasks import Condition
from servers.drivers import virtio_blk
from servers.drivers.virtio_blk import Disk


class MuteDisk(Disk):
    """The device, which is not asked."""

    async def perform(self, kind: int, sector: int, io: int, length: int) -> None:
        """Wait for ever."""
        await Condition().wait()


class Program(virtio_blk.Program):
    """The driver."""

    kind = MuteDisk
