"""The driver of a virtio disk (VIRTIO 1.2, section 5.2).

It holds the device's registers, its interrupt, and one page for rings and request headers. The data of a transfer it
never touches: it passes the I/O address on, and the device reaches the client's transfer region by itself.

A request that the device does not answer within three signs of life asked for by the supervisor is given to it again,
after a reset; so are all requests when the device breaks its rules. If that happens too often the driver gives up, by
an exception: somebody else decides what is to become of it.
"""

import struct
from typing import Any, Final

from attrs import define, field

from capkernel.protocols.block import SECTOR, Block, BlockInfo
from capkernel.protocols.failures import DeviceError, Malformed, NotPermitted, ServerDied
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from capkernel.user.tasks import Condition
from servers.drivers.virtio import Buffer, DeviceMisbehaved, Layout, Queue, Transport

registers: int = 0
rings: int = 0
rings_io: int = 0x1000_0000
transfer_io: int = 0x2000_0000
transfer: int = 0
"""Unused; a RAM disk in this driver's place needs it."""
transfer_size: int = 0x1_0000
first_reply: int = 302
reply_count: int = 4

IRQ, SUPERVISOR, CLIENTS = 0, 1, range(2, 10)
"""Channels. Clients from ``FIRST_READER`` on may only read."""
FIRST_READER: Final = 6

_DISK: Final = 2
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
MAX_RESETS: Final = 5
"""In a row, without a request done between them."""
PATIENCE: Final = 3
"""Signs of life during which a request may be with the device."""


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


class Disk:
    """The device: requests go in, and are done when ``interrupt`` or ``look`` finds them done.

    Its registers, its page of rings, and where the device finds that page.
    """

    def __init__(self, pd: PD, registers: int, rings: int, rings_io: int) -> None:
        self.pd = pd
        self.rings = rings
        self.rings_io = rings_io
        self.transport = Transport(pd, registers)
        self.queue = Queue(pd, Layout(rings, rings_io, _SIZE), _CHAIN)
        self.requests: dict[int, Request] = {}
        self.freed = Condition()
        self.features = 0
        self.sectors = 0
        self.resets = 0

    async def start(self) -> None:
        """Reset the device and make it ready. Raises NoDevice, DeviceMisbehaved."""
        await self.transport.reset()
        self.features = await self.transport.negotiate(_DISK, _RO | _FLUSH)
        self.sectors = await self.transport.config(0, 8)
        await self.queue.clear()
        await self.transport.set_up(0, self.queue.layout)
        await self.transport.start()

    async def perform(self, kind: int, sector: int, io: int, length: int) -> None:
        """Do a request. Raises DeviceError if the device says that it failed."""
        while (place := self.queue.free_place()) is None:
            await self.freed.wait()
        request = self.requests[place] = Request(kind, sector, io, length)
        await self.submit(place, request)
        while request.status is None:
            await request.done.wait()
        if request.status != _OK:
            raise DeviceError(f"the disk answers with status {request.status} at sector {sector}")

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

    async def interrupt(self) -> None:
        """The device has interrupted."""
        try:
            await self.transport.take_interrupt()
            await self._collect()
        except DeviceMisbehaved as error:
            await self._recover(error)

    async def look(self) -> None:
        """See whether an interrupt was lost, and whether a request takes too long."""
        try:
            await self._collect()
            for request in self.requests.values():
                request.age += 1
                if request.age > PATIENCE:
                    raise DeviceMisbehaved(f"a request at sector {request.sector} is not answered")
        except DeviceMisbehaved as error:
            await self._recover(error)

    async def _collect(self) -> None:
        for place, _ in await self.queue.completed():
            status = await self.pd.load(self.rings + _HEADERS + 32 * place + _STATUS_OFFSET, 1)
            if status == _UNTOUCHED:
                raise DeviceMisbehaved("a request is said to be done, but has no status")
            request = self.requests.pop(place)
            request.status = status
            self.resets = 0
            request.done.notify()
            self.freed.notify(1)

    async def _recover(self, error: DeviceMisbehaved) -> None:
        """Reset the device and give it all requests again. Raises the error when that was of no use too often."""
        self.resets += 1
        if self.resets > MAX_RESETS:
            raise error
        await self.start()
        for place, request in sorted(self.requests.items()):
            request.age = 0
            await self.submit(place, request)


class DiskServant(Block):
    """The disk as clients see it."""

    def __init__(self, disk: Disk, is_read_only: bool) -> None:
        self.disk = disk
        self.is_read_only = is_read_only or bool(disk.features & _RO)
        self.is_known = False

    async def info(self) -> BlockInfo:
        """What the disk is."""
        self.is_known = True
        return BlockInfo(self.disk.sectors, self.is_read_only, transfer_size, "virtio-blk")

    async def read(self, sector: int, count: int, offset: int) -> None:
        """Sectors into the transfer region."""
        await self.disk.perform(READ, sector, *self._place(sector, count, offset))

    async def write(self, sector: int, count: int, offset: int) -> None:
        """Sectors out of the transfer region."""
        if self.is_read_only:
            raise NotPermitted("this disk is read-only")
        await self.disk.perform(WRITE, sector, *self._place(sector, count, offset))

    async def flush(self) -> None:
        """What was written is to last."""
        self._need_known()
        if self.disk.features & _FLUSH:
            await self.disk.perform(FLUSH, 0, 0, 0)

    def _need_known(self) -> None:
        if not self.is_known:
            raise ServerDied("the driver was started anew; ask what the disk is")

    def _place(self, sector: int, count: int, offset: int) -> tuple[int, int]:
        """I/O address and length of a transfer. Raises Malformed, ServerDied."""
        self._need_known()
        if not 0 < count <= self.disk.sectors or not 0 <= sector <= self.disk.sectors - count:
            raise Malformed(f"{count} sectors at {sector}: the disk has {self.disk.sectors}")
        length = count * SECTOR
        if length > transfer_size or not 0 <= offset <= transfer_size - length:
            raise Malformed(f"{length} bytes at {offset}: the transfer region has {transfer_size}")
        return transfer_io + offset, length


class Program:
    """The driver."""

    def __init__(self) -> None:
        self.disk: Any = None
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Start the device, and serve."""
        pd.spare_replies.extend(range(first_reply, first_reply + reply_count))
        self.disk = Disk(pd, registers, rings, rings_io)
        await self.disk.start()
        self.service = Service(pd, roots=self._root)

    def _root(self, session: int) -> Interface | None:
        return DiskServant(self.disk, session >= FIRST_READER) if session in CLIENTS else None

    async def notified(self, pd: PD, ch: int) -> None:
        """The device interrupts, or the supervisor wants a sign of life."""
        if ch == IRQ:
            await self.disk.interrupt()
            await pd.irq_ack(IRQ)
        elif ch == SUPERVISOR:
            await self.disk.look()
            await pd.notify(SUPERVISOR)
        await self.service.run_ready()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
