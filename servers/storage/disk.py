"""A disk as a file server uses it: a block device that may fail for a while.

A driver that dies is started anew by somebody else. A request that it did not answer is made again, as often as
MINIX's libbdev makes it: 10 times for a driver that died, 5 for a transfer that failed. If all 5 failed the driver is
complained of; if it was started anew for that the request is made five times more.
"""

from typing import Final

from capkernel.protocols.block import SECTOR, Block, BlockInfo
from capkernel.protocols.failures import Corrupt, DeviceError, Failure, ServerDied
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import read, write
from servers.system.complaints import Complain

DRIVER_TRIES: Final = 10
TRANSFER_TRIES: Final = 5


class Disk:
    """Sectors of 512 bytes. ``region`` is the transfer region that the device reaches.

    A driver that dies ``driver_tries`` times in a row is given up. ``complain`` is how one complains of it.
    """

    def __init__(
        self, block: Block, region: SharedRegion, *, driver_tries: int = DRIVER_TRIES, complain: Complain | None = None
    ) -> None:
        self.block = block
        self.region = region
        self.driver_tries = driver_tries
        self.complain = complain
        self.name = ""
        self.sectors = 0
        self.is_read_only = False
        self.deaths = 0
        """How often a driver died before it answered."""

    async def open(self) -> None:
        """Ask what the disk is. Raises DeviceError, or Corrupt if whoever is asked says so of what is below."""
        try:
            info = await self._info(self.driver_tries)
        except DeviceError as failure:
            if isinstance(failure.__cause__, Corrupt):
                raise failure.__cause__ from None
            raise
        self.name, self.sectors, self.is_read_only = info.name, info.sectors, info.is_read_only

    async def _info(self, tries: int) -> BlockInfo:
        """What the disk is, by two equal answers: an answer that makes no sense is no reason to take it for another."""
        before = None
        while True:
            try:
                info = await self.block.info()
            except Failure as failure:
                tries, before = self._died(tries, failure), None
            else:
                if info == before:
                    return info
                before = info

    async def read(self, sector: int, count: int) -> bytes:
        """The content of sectors. Raises DeviceError."""
        return b"".join([await self._read(*part) for part in self._parts(sector, count)])

    async def write(self, sector: int, data: bytes) -> None:
        """Whole sectors. Raises DeviceError."""
        position = 0
        for first, count in self._parts(sector, len(data) // SECTOR):
            await self._transfer("write", first, count, data[position : position + count * SECTOR])
            position += count * SECTOR

    async def flush(self) -> None:
        """Make what was written last. Raises DeviceError."""
        await self._transfer("flush", 0, 0, b"")

    def _parts(self, sector: int, count: int) -> list[tuple[int, int]]:
        most = self.region.size // SECTOR
        return [(first, min(most, sector + count - first)) for first in range(sector, sector + count, most)]

    async def _read(self, sector: int, count: int) -> bytes:
        await self._transfer("read", sector, count, b"")
        return await read(self.region.vaddr, count * SECTOR)

    async def _transfer(self, what: str, sector: int, count: int, data: bytes) -> None:
        """Ask until it is done; each time with the data put into the region again."""
        drivers, transfers, complain = self.driver_tries, TRANSFER_TRIES, self.complain
        while True:
            if data:
                await write(self.region.vaddr, data)
            try:
                await self._ask(what, sector, count)
            except ServerDied as failure:
                drivers = self._died(drivers, failure)
                await self._find_again(drivers)
            except Failure as failure:
                # Whatever else a driver answers: it is not in its right mind, and may be the next time.
                transfers -= 1
                if transfers:
                    continue
                if complain is None or not await complain():
                    raise DeviceError(f"the disk's driver answers: {failure}") from failure
                await self._find_again(drivers)
                transfers, complain = TRANSFER_TRIES, None
            else:
                return

    async def _find_again(self, drivers: int) -> None:
        """Ask a driver that was started anew what the disk is. Raises DeviceError if it is another one."""
        if (await self._info(drivers)).name != self.name:
            raise DeviceError(f"{self.name} was replaced by another disk")

    async def _ask(self, what: str, sector: int, count: int) -> None:
        if what == "read":
            await self.block.read(sector, count, 0)
        elif what == "write":
            await self.block.write(sector, count, 0)
        else:
            await self.block.flush()

    def _died(self, tries: int, failure: Failure) -> int:
        """The tries that are left. Raises DeviceError if there are none."""
        self.deaths += 1
        if tries <= 1:
            raise DeviceError(f"the disk's driver died {self.driver_tries} times in a row") from failure
        return tries - 1
