"""A disk in the memory of its driver: what takes over when the real one fails for good. Its content ends with it."""

from typing import Any

from capkernel.protocols.block import SECTOR, Block, BlockInfo
from capkernel.protocols.failures import Malformed, ServerDied
from capkernel.protocols.service import Service
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

registers: int = 0
rings: int = 0
transfer: int = 0
transfer_size: int = 0x1_0000
sectors: int = 2048

SUPERVISOR = 1


class RamDisk(Block):
    """The disk; the transfer region is mapped here too."""

    def __init__(self, pd: PD) -> None:
        self.pd = pd
        self.content = bytearray(sectors * SECTOR)
        self.is_known = False

    async def info(self) -> BlockInfo:
        """What the disk is."""
        self.is_known = True
        return BlockInfo(sectors, False, transfer_size, "ram-disk")

    async def read(self, sector: int, count: int, offset: int) -> None:
        """Sectors into the transfer region."""
        start, size = self._place(sector, count, offset)
        await self.pd.write(transfer + offset, bytes(self.content[start : start + size]))

    async def write(self, sector: int, count: int, offset: int) -> None:
        """Sectors out of the transfer region."""
        start, size = self._place(sector, count, offset)
        self.content[start : start + size] = await self.pd.read(transfer + offset, size)

    async def flush(self) -> None:
        """Nothing lasts longer than this."""
        self._need_known()

    def _need_known(self) -> None:
        if not self.is_known:
            raise ServerDied("the driver was started anew; ask what the disk is")

    def _place(self, sector: int, count: int, offset: int) -> tuple[int, int]:
        self._need_known()
        if not 0 < count <= sectors or not 0 <= sector <= sectors - count:
            raise Malformed(f"{count} sectors at {sector}: the disk has {sectors}")
        if not 0 <= offset <= transfer_size - count * SECTOR:
            raise Malformed(f"{count} sectors at offset {offset}: the transfer region has {transfer_size} bytes")
        return sector * SECTOR, count * SECTOR


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
