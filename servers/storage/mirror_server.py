"""A disk made of two: what is written goes to both, and neither driver is believed without proof (``mirror``).

It calls two drivers and is called as one. A driver that does not answer holds it up, until the supervisor kills both
for their silence; so it writes down whom it waits for, in memory that outlives it (``state``), and a disk for which
it waited in vain several times in a row is not asked for a while (``mirror_notes``).
"""

from contextlib import suppress
from typing import Any, ClassVar, Final

from capkernel.protocols.block import Block, BlockInfo
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Corrupt, DeviceError, Failure, NotPermitted, ServerDied
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import read, write
from capkernel.user.syscalls import Message
from servers.drivers.sectors import CheckedBlock
from servers.neighbours import Asks, Role, Uses, with_readers
from servers.storage.disk import Disk
from servers.storage.mirror import Mirror
from servers.storage.mirror_copy import MirrorCopy
from servers.storage.mirror_layout import identity_of
from servers.storage.mirror_name import MirrorName, read_mirror_name
from servers.storage.mirror_notes import Notes, WatchedBlock
from servers.storage.mirror_status import Stage, StatusPage
from servers.system.complaints import complaints_of

SUPERVISOR, CLIENTS = 1, range(2, 10)
DISKS: Final = (0, 10)
"""Channels. Clients from ``FIRST_READER`` on may only read."""
FIRST_READER: Final = 6
DRIVER_TRIES: Final = 5
"""Deaths of a driver in a row after which its disk is left: the other one goes on."""


async def _goes_on(block: Block) -> bool:
    """Whether a driver still knows who asks it: it was not started anew since."""
    try:
        await block.flush()
    except ServerDied:
        return False
    except Failure:
        return True
    return True


class MirrorServant(CheckedBlock):
    """The mirror as clients see it. The transfer region at ``vaddr`` is shared with them."""

    def __init__(self, mirror: Mirror, notes: Notes, region: SharedRegion, is_read_only: bool) -> None:
        super().__init__(mirror.sectors, region.size)
        self.mirror = mirror
        self.notes = notes
        self.vaddr = region.vaddr
        self.is_read_only = is_read_only

    async def info(self) -> BlockInfo:
        """What the disk is."""
        self.is_known = True
        return BlockInfo(self.sectors, self.is_read_only, self.transfer_size, "mirror")

    async def read(self, sector: int, count: int, offset: int) -> None:
        """Sectors into the transfer region."""
        self.checked(sector, count, offset)
        await write(self.vaddr + offset, await self.mirror.read(sector, count))

    async def write(self, sector: int, count: int, offset: int) -> None:
        """Sectors out of the transfer region, which is read once."""
        if self.is_read_only:
            raise NotPermitted("this disk is read-only")
        length = self.checked(sector, count, offset)
        data = await read(self.vaddr + offset, length)
        await self.notes.writing(sector, count)
        await self.mirror.write(sector, data)
        await self.notes.writing(sector, 0)

    async def flush(self) -> None:
        """What was written is to last."""
        self.need_known()
        await self.mirror.flush()


class NoMirror(Block):
    """In place of a mirror, if the disks do not make one: everybody is told why."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure

    async def info(self) -> BlockInfo:
        """There is none."""
        raise self.failure

    async def read(self, sector: int, count: int, offset: int) -> None:
        """There is none."""
        raise self.failure

    async def write(self, sector: int, count: int, offset: int) -> None:
        """There is none."""
        raise self.failure

    async def flush(self) -> None:
        """There is none."""
        raise self.failure


class Program:
    """The server.

    Regions: shared with the clients, with those who only read (without it they can read nothing), with each disk's
    driver; by what its disks are known (TOML: ``name = "…"``, or ``identity = "…"``, 16 bytes in hexadecimal digits;
    and ``chance = "…"``, digits that are others at each start);
    what outlives it; what it tells others of its disks (``mirror_status``).
    """

    uses: ClassVar[Uses] = Uses(
        asks={BASE_ENDPOINT_CAP + channel: Asks(Block, to_change=True) for channel in DISKS},
        serves=with_readers(Block, CLIENTS, FIRST_READER), signals={SUPERVISOR: Role.SUPERVISOR},
        needs=frozenset({"transfer"}), shares=frozenset({"first_transfer", "second_transfer"}),
    )
    transfer: int = 0
    transfer_size: int = 0x1_0000
    reader_transfer: int = 0
    reader_transfer_size: int = 0x1_0000
    first_transfer: int = 0
    first_transfer_size: int = 0x1_0000
    second_transfer: int = 0
    second_transfer_size: int = 0x1_0000
    names: int = 0
    names_size: int = 0x1000
    state: int = 0
    state_size: int = 0x1000
    status: int = 0
    status_size: int = 0x1000

    def __init__(self) -> None:
        self.mirror: Any = None
        self.notes: Any = None
        self.page: Any = None
        self.service: Any = None
        self.refusing: Block | None = None

    async def init(self, pd: PD) -> None:
        """Open both disks, and serve."""
        name = await self._name(pd)
        self.notes, self.page = Notes(self.state), StatusPage(self.status)
        unasked = await self.notes.in_vain()
        copies = []
        for side, channel in enumerate(DISKS):
            block = connect(Block, Connection(pd.sys), BASE_ENDPOINT_CAP + channel)
            region = (
                SharedRegion(self.second_transfer, self.second_transfer_size)
                if side
                else SharedRegion(self.first_transfer, self.first_transfer_size)
            )
            watched = WatchedBlock(block, self.notes, side)
            if side not in unasked and await _goes_on(watched):
                await self.notes.pardon(side)
            complain = complaints_of(pd, SUPERVISOR, side)
            disk = Disk(watched, region, driver_tries=DRIVER_TRIES, complain=complain)
            copies.append(MirrorCopy(disk, name.identity, side))

        async def say(text: str) -> None:
            await pd.print(f"{pd.name}: {text}\n")

        self.mirror = Mirror(copies, self.notes, lambda: pd.notify(SUPERVISOR), say, name.chance)
        await self.page.tell(self.mirror, Stage.OPENING)
        try:
            await self.mirror.open(unasked, await self.notes.unwritten())
            await self.notes.writing(0, 0)
        except Corrupt as failure:
            await say(str(failure))
            self.refusing = NoMirror(failure)
        await self._tell()
        self.service = Service(pd, roots=self._root)

    async def _tell(self) -> None:
        await self.page.tell(self.mirror, Stage.REFUSING if self.refusing else Stage.OPEN)

    async def _name(self, pd: PD) -> MirrorName:
        """By what its disks are known. Raises MirrorNameError."""
        if not self.names:
            return MirrorName(identity_of(pd.name))
        return read_mirror_name((await pd.read(self.names, self.names_size)).rstrip(b"\0").decode())

    def _root(self, session: int) -> Interface | None:
        if session not in CLIENTS:
            return None
        if self.refusing is not None:
            return self.refusing
        if session < FIRST_READER:
            return MirrorServant(self.mirror, self.notes, SharedRegion(self.transfer, self.transfer_size), False)
        # What a reader asks for must not come into the memory of those who write.
        size = self.reader_transfer_size if self.reader_transfer else 0
        return MirrorServant(self.mirror, self.notes, SharedRegion(self.reader_transfer, size), True)

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life; then there is time for what nobody asks for."""
        if ch != SUPERVISOR:
            return
        await pd.notify(SUPERVISOR)
        if self.refusing is None:
            # If no disk answers, whoever wants something is told.
            with suppress(DeviceError):
                await self.mirror.look_on()
            await self._tell()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        answer = await self.service.protected(msg)
        await self._tell()
        return answer
