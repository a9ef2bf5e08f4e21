"""A disk in the memory of its driver: what takes over when the real one fails for good. Its content ends with it."""

from typing import Any

from capkernel.protocols.block import SECTOR, BlockInfo
from capkernel.protocols.service import Service
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.drivers.sectors import CheckedBlock

registers: int = 0
rings: int = 0
transfer: int = 0
transfer_size: int = 0x1_0000
sectors: int = 2048

SUPERVISOR = 1


class RamDisk(CheckedBlock):
    """The disk; the transfer region is mapped here too."""

    def __init__(self, pd: PD) -> None:
        super().__init__(sectors, transfer_size)
        self.pd = pd
        self.content = bytearray(sectors * SECTOR)

    async def info(self) -> BlockInfo:
        """What the disk is."""
        self.is_known = True
        return BlockInfo(sectors, False, transfer_size, "ram-disk")

    async def read(self, sector: int, count: int, offset: int) -> None:
        """Sectors into the transfer region."""
        length, start = self.checked(sector, count, offset), sector * SECTOR
        await self.pd.write(transfer + offset, bytes(self.content[start : start + length]))

    async def write(self, sector: int, count: int, offset: int) -> None:
        """Sectors out of the transfer region."""
        length, start = self.checked(sector, count, offset), sector * SECTOR
        self.content[start : start + length] = await self.pd.read(transfer + offset, length)

    async def flush(self) -> None:
        """Nothing lasts longer than this."""
        self.need_known()


class Program:
    """The driver without a device."""

    def __init__(self) -> None:
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Serve."""
        disk = RamDisk(pd)
        self.service = Service(pd, roots=lambda session: disk)

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life; interrupts of the real disk mean nothing here."""
        if ch == SUPERVISOR:
            await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
