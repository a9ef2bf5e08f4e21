"""The client, the file system and the disk's driver in one domain, linked together by calls.

The code is that of the separate programs; only what connects it is another. A stub's place is taken by the servant
itself, so a request is a method call, and whoever goes wrong goes wrong in everybody's memory.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from capkernel.protocols.files import Directory
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.tasks import alone
from servers.drivers.virtio_blk import Disk as Device
from servers.drivers.virtio_blk import DiskServant
from servers.storage.cache import CachedDisk
from servers.storage.disk import Disk
from servers.storage.littlefs_volume import LittlefsVolume
from servers.storage.tree import Tree

RINGS_IO = 0x1000_0000
IRQ, SUPERVISOR, SIGNALS = 0, 1, 303
"""Channels, and the slot of the cap to receive from the domain's own notification."""


class Linked:
    """All of it; a program says which client does its ``work`` in the root directory.

    The variables are where the domain maps what the driver and the file system need, and where the client reports.
    """

    client: ClassVar[Callable[[], Any]]
    registers: int = 0
    rings: int = 0
    transfer: int = 0
    transfer_size: int = 0x1_0000
    report: int = 0

    def __init__(self) -> None:
        self.device: Any = None

    async def init(self, pd: PD) -> None:
        """Start the device, mount the disk, and do the client's work."""
        self.device = Device(pd, self.registers, self.rings, RINGS_IO)
        await self.device.start()
        await pd.irq_ack(IRQ)
        await alone(self._work(pd), lambda: self._news(pd))

    async def _work(self, pd: PD) -> None:
        await type(self).client().work(pd, await self._root(), self.report)

    async def _root(self) -> Directory:
        transfer = SharedRegion(self.transfer, self.transfer_size)
        volume = LittlefsVolume(CachedDisk(Disk(DiskServant(self.device, False), transfer)))
        await volume.open()
        return Tree(volume).root_directory()

    async def _news(self, pd: PD) -> None:
        """The device interrupts, or the supervisor wants a sign of life."""
        signals = (await pd.sys.wait(SIGNALS)).badge
        if signals >> IRQ & 1:
            await self.device.interrupt()
            await pd.irq_ack(IRQ)
        if signals >> SUPERVISOR & 1:
            await pd.notify(SUPERVISOR)

    async def notified(self, pd: PD, ch: int) -> None:
        """When the work is done, signs of life remain."""
        if ch == SUPERVISOR:
            await pd.notify(SUPERVISOR)
