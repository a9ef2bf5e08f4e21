"""A disk's driver that lives, gives signs of life, and in its first life says that the disk is larger than any is."""

from capkernel.protocols.block import BlockInfo
from capkernel.protocols.interface import Interface
from capkernel.user.loop import PD
from servers.drivers import virtio_blk
from servers.drivers.virtio_blk import CLIENTS, FIRST_READER, DiskServant


class VastDisk(DiskServant):
    """The disk as clients see it."""

    async def info(self) -> BlockInfo:
        """Not what the disk is."""
        found = await super().info()
        return BlockInfo(1 << 60, found.is_read_only, found.transfer_size, found.name)


class Program(virtio_blk.Program):
    """The driver."""

    async def init(self, pd: PD) -> None:
        """Note which life this is."""
        self.is_lying = pd.life == 1
        await super().init(pd)

    def root(self, session: int) -> Interface | None:
        """The disk, larger than it is."""
        kind = VastDisk if self.is_lying else DiskServant
        return kind(self.disk, session >= FIRST_READER) if session in CLIENTS else None
