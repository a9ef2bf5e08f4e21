"""The driver of a virtio disk (VIRTIO 1.2, section 5.2).

It holds the device's registers, its interrupt, and one page for rings and request headers. The data of a transfer it
never touches: it passes the I/O address on, and the device reaches the client's transfer region by itself.

A request that the device does not answer within three signs of life asked for by the supervisor is given to it again,
after a reset; so are all requests when the device breaks its rules. If that happens too often the driver gives up, by
an exception: somebody else decides what is to become of it.
"""

import struct
from typing import Any, ClassVar, Final

from attrs import define, field

from capkernel.protocols.block import Block, BlockInfo
from capkernel.protocols.failures import DeviceError, NotPermitted
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from capkernel.user.tasks import Condition
from servers.drivers.sectors import CheckedBlock
from servers.drivers.virtio import IRQ, PATIENCE, SUPERVISOR, Buffer, Device, DeviceMisbehaved, Layout, Queue
from servers.neighbours import Role, Uses, with_readers
from servers.system.retiring import retire

CLIENTS, UPDATE = range(2, 10), 20
"""Channels, besides those of every driver (``virtio``). Clients from ``FIRST_READER`` on may only read."""
FIRST_READER: Final = 6

_RO, _FLUSH = 1 << 5, 1 << 9
READ, WRITE, FLUSH = 0, 1, 4
"""Kinds of requests."""
_OK: Final = 0
_SIZE: Final = 16
_CHAIN: Final = 3
_HEADER = struct.Struct("<IIQ")
_HEADERS: Final = 0x800
"""Offset of the request headers in the page; each request has 32 bytes, of which the 17th is for the status."""
_STATUS_OFFSET: Final = 16
_UNTOUCHED: Final = 0xFF
_POLL: Final = 100
"""Ticks after which a driver that is to retire looks again whether the device is done."""


@define(eq=False)
class Request:
    """What the device was asked for, so that it can be asked again."""

    kind: int
    sector: int
    io: int
    length: int
    age: int = 0
    status: int | None = None
    done: Condition = field(factory=Condition)


class Disk(Device):
    """The device: requests go in, and are done when ``interrupt`` or ``look`` finds them done.

    Its registers, its page of rings, and where the device finds that page. Requests for which there is no place wait;
    ``choose`` says which is the next.
    """

    kind = 2
    wanted = _RO | _FLUSH

    def __init__(
        self, pd: PD, registers: int, rings: int, rings_io: int, transfer_io: int = 0x2000_0000,
        transfer_size: int = 0x1_0000,
    ) -> None:  # fmt: skip
        self.queue = Queue(pd, Layout(rings, rings_io, _SIZE), _CHAIN)
        super().__init__(pd, registers, self.queue)
        self.rings = rings
        self.rings_io = rings_io
        self.transfer_io = transfer_io
        self.transfer_size = transfer_size
        self.requests: dict[int, Request] = {}
        self.waiting: list[Request] = []
        self.sectors = 0

    async def configure(self) -> None:
        """Read how large it is."""
        self.sectors = await self.transport.config(0, 8)

    async def resume(self) -> None:
        """Give the device all requests again."""
        for place, request in sorted(self.requests.items()):
            request.age = 0
            await self.submit(place, request)

    async def perform(self, kind: int, sector: int, io: int, length: int) -> None:
        """Do a request. Raises DeviceError if the device says that it failed."""
        request = Request(kind, sector, io, length)
        self.waiting.append(request)
        await self._proceed()
        while request.status is None:
            await request.done.wait()
        if request.status != _OK:
            raise DeviceError(f"the disk answers with status {request.status} at sector {sector}")

    def choose(self) -> Request | None:
        """Which of those that wait comes next, if one may: here the one that waits longest."""
        return self.waiting[0] if self.waiting else None

    async def _proceed(self) -> None:
        """Give the device what there is a place for."""
        while (place := self.queue.free_place()) is not None and (request := self.choose()) is not None:
            self.waiting.remove(request)
            self.requests[place] = request
            await self.submit(place, request)

    async def finish(self) -> None:
        """Be done with all requests, without waiting for interrupts."""
        while self.requests:
            await self.pd.compute(_POLL)
            await self.settle()

    async def submit(self, place: int, request: Request) -> None:
        """Give the device a request in a place of the queue."""
        header = _HEADERS + 32 * place
        await self.pd.write(self.rings + header, _HEADER.pack(request.kind, 0, request.sector) + bytes((_UNTOUCHED,)))
        buffers = [Buffer(self.rings_io + header, _HEADER.size, False)]
        if request.length:
            buffers.append(Buffer(request.io, request.length, request.kind == READ))
        buffers.append(Buffer(self.rings_io + header + _STATUS_OFFSET, 1, True))
        await self.queue.offer(place, buffers)
        await self.transport.notify(0)

    async def beat(self) -> None:
        """See whether a request takes too long."""
        for request in self.requests.values():
            request.age += 1
            if request.age > PATIENCE:
                raise DeviceMisbehaved(f"a request at sector {request.sector} is not answered")

    async def collect(self) -> None:
        """Take what is done out of the ring, and let those go on who wait for it."""
        for place, _ in await self.queue.completed():
            status = await self.pd.load(self.rings + _HEADERS + 32 * place + _STATUS_OFFSET, 1)
            if status == _UNTOUCHED:
                raise DeviceMisbehaved("a request is said to be done, but has no status")
            request = self.requests.pop(place)
            request.status = status
            self.resets = 0
            request.done.notify()
        await self._proceed()


class DiskServant(CheckedBlock):
    """The disk as clients see it."""

    def __init__(self, disk: Disk, is_read_only: bool) -> None:
        super().__init__(disk.sectors, disk.transfer_size)
        self.disk = disk
        self.is_read_only = is_read_only or bool(disk.features & _RO)

    async def info(self) -> BlockInfo:
        """What the disk is."""
        self.is_known = True
        return BlockInfo(self.sectors, self.is_read_only, self.transfer_size, "virtio-blk")

    async def read(self, sector: int, count: int, offset: int) -> None:
        """Sectors into the transfer region."""
        length = self.checked(sector, count, offset)
        await self.disk.perform(READ, sector, self.disk.transfer_io + offset, length)

    async def write(self, sector: int, count: int, offset: int) -> None:
        """Sectors out of the transfer region."""
        if self.is_read_only:
            raise NotPermitted("this disk is read-only")
        length = self.checked(sector, count, offset)
        await self.disk.perform(WRITE, sector, self.disk.transfer_io + offset, length)

    async def flush(self) -> None:
        """What was written is to last."""
        self.need_known()
        if self.disk.features & _FLUSH:
            await self.disk.perform(FLUSH, 0, 0, 0)


class Program:
    """The driver. Another one for the same device is a subclass whose ``kind`` of disk is another."""

    kind: ClassVar[type[Disk]] = Disk
    uses: ClassVar[Uses] = Uses(
        serves=with_readers(Block, CLIENTS, FIRST_READER), interrupts=frozenset({IRQ}),
        signals={SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        needs=frozenset({"registers", "rings"}),
    )  # fmt: skip
    registers: int = 0
    rings: int = 0
    rings_io: int = 0x1000_0000
    transfer_io: int = 0x2000_0000
    transfer: int = 0
    """Unused; a RAM disk in this driver's place needs it."""
    transfer_size: int = 0x1_0000
    first_reply: int = 302
    reply_count: int = 4

    def __init__(self) -> None:
        self.disk: Any = None
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Start the device, and serve."""
        pd.spare_replies.extend(range(self.first_reply, self.first_reply + self.reply_count))
        self.disk = self.kind(pd, self.registers, self.rings, self.rings_io, self.transfer_io, self.transfer_size)
        await self.disk.start()
        self.service = Service(pd, roots=self.root)

    def root(self, session: int) -> Interface | None:
        """What a client's own cap leads to."""
        return DiskServant(self.disk, session >= FIRST_READER) if session in CLIENTS else None

    async def notified(self, pd: PD, ch: int) -> None:
        """The device interrupts, or the supervisor wants a sign of life, or another program in this one's place."""
        if ch == UPDATE:
            await self.disk.finish()
            await self.service.run_ready()
            await retire(pd, UPDATE)
        await self.disk.notified(ch)
        await self.service.run_ready()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
