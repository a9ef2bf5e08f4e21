"""A disk in the memory of its driver: what takes over when the real one fails for good. Its content ends with it.

With memory that outlives it (``state``) it can give way to its next version, if the content fits there.
"""

from typing import Any, ClassVar

from attrs import frozen

from capkernel.protocols.block import SECTOR, Block, BlockInfo
from capkernel.protocols.service import Service
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.drivers.sectors import CheckedBlock
from servers.neighbours import Role, Serves, Uses
from servers.system.retiring import Handover, decline

registers: int = 0
rings: int = 0
transfer: int = 0
transfer_size: int = 0x1_0000
sectors: int = 2048
state: int = 0
state_size: int = 0x20_1000

IRQ, SUPERVISOR, CLIENTS, UPDATE = 0, 1, range(2, 10), 20
"""Channels; the interrupt is that of a disk in whose driver's place it is."""


@frozen
class KeptSectors:
    """All of the disk, for the next program."""

    content: bytes


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


    async def take_up(self, kept: KeptSectors) -> None:
        """Go on with a content. Raises ValueError if it is another disk's."""
        if len(kept.content) != len(self.content):
            raise ValueError(f"the disk has {len(self.content)} bytes, not {len(kept.content)}")
        self.content[:] = kept.content


class Program:
    """The driver without a device."""

    uses: ClassVar[Uses] = Uses(
        serves=dict.fromkeys(CLIENTS, Serves(Block)),
        signals={IRQ: Role.ANY, SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        needs=frozenset({"transfer"}),
    )

    def __init__(self) -> None:
        self.service: Any = None
        self.disk: Any = None
        self.handover: Any = None

    async def init(self, pd: PD) -> None:
        """Serve; or go on with what the program before has left. As after a crash, it must be asked what it is."""
        disk = self.disk = RamDisk(pd)
        self.service = Service(pd, roots=lambda session: disk)
        if state:
            self.handover = Handover(pd, KeptSectors, SharedRegion(state, state_size), SUPERVISOR, UPDATE)
            await self.handover.go_on(disk.take_up)

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life, or another program in this one's place; interrupts of the real disk
        mean nothing here.
        """
        if ch == SUPERVISOR:
            await pd.notify(SUPERVISOR)
        elif ch == UPDATE and self.handover is None:
            await decline(pd, "there is no memory that outlives the content")
        elif ch == UPDATE:
            await self.handover.give_way(KeptSectors(bytes(self.disk.content)))

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
