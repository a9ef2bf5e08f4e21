"""The driver's side of virtio-mmio, version 2: finding a device, agreeing on features, queues in shared memory.

After VIRTIO 1.2: sections 3.1 (initialisation), 4.2 (MMIO), 2.7 (split virtqueues). A device is not trusted: whatever
it writes into a ring is checked, and one that breaks the rules raises ``DeviceMisbehaved``.
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Final

from attrs import define, field, frozen

from capkernel.user.loop import PD

_MAGIC, _VERSION, _DEVICE_ID = 0x000, 0x004, 0x008
_DEVICE_FEATURES, _DEVICE_FEATURES_SEL = 0x010, 0x014
_DRIVER_FEATURES, _DRIVER_FEATURES_SEL = 0x020, 0x024
_QUEUE_SEL, _QUEUE_SIZE_MAX, _QUEUE_SIZE, _QUEUE_READY, _QUEUE_NOTIFY = 0x030, 0x034, 0x038, 0x044, 0x050
_INTERRUPT_STATUS, _INTERRUPT_ACK, _STATUS = 0x060, 0x064, 0x070
_QUEUE_DESC, _QUEUE_DRIVER, _QUEUE_DEVICE = 0x080, 0x090, 0x0A0
_CONFIG = 0x100
_EXPECTED_MAGIC: Final = 0x74726976

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET = 1, 2, 4, 8, 64
VERSION_1, ACCESS_PLATFORM = 1 << 32, 1 << 33
RESET_PATIENCE: Final = 1000
"""How often a device's status is read until it has reset itself."""
MAX_RESETS: Final = 5
"""In a row, without anything done between them; then a driver gives up."""
PATIENCE: Final = 3
"""Signs of life during which something may be with a device."""
IRQ, SUPERVISOR = 0, 1
"""Channels of every driver here: its device's interrupt, and who wants signs of life."""

_NEXT, _WRITE = 1, 2
_DESCRIPTOR = struct.Struct("<QIHH")
_USED = struct.Struct("<II")


class NoDevice(Exception):
    """There is no such device behind the registers, or it cannot be agreed with."""


class DeviceMisbehaved(Exception):
    """The device broke the rules of its rings; it must be reset before it is used again."""


class Transport:
    """The registers of a device, mapped at ``base``."""

    def __init__(self, pd: PD, base: int) -> None:
        self.pd = pd
        self.base = base

    async def load(self, offset: int) -> int:
        """A register of 32 bits."""
        return await self.pd.load(self.base + offset, 4)

    async def store(self, offset: int, value: int) -> None:
        """Set a register of 32 bits."""
        await self.pd.store(self.base + offset, value, 4)

    async def reset(self) -> None:
        """Stop the device: when this returns it uses no queue any more. Raises DeviceMisbehaved if it does not stop."""
        await self.store(_STATUS, 0)
        for _ in range(RESET_PATIENCE):
            if await self.load(_STATUS) == 0:
                return
        raise DeviceMisbehaved("the device does not reset")

    async def negotiate(self, device_id: int, wanted: int) -> int:
        """Find a device of that kind and agree on features; returns those agreed on. Raises NoDevice."""
        if await self.load(_MAGIC) != _EXPECTED_MAGIC or await self.load(_VERSION) != 2:
            raise NoDevice("there is no virtio device of version 2")
        found = await self.load(_DEVICE_ID)
        if found != device_id:
            raise NoDevice(f"the virtio device is of kind {found}, not {device_id}")
        await self.store(_STATUS, ACKNOWLEDGE)
        await self.store(_STATUS, ACKNOWLEDGE | DRIVER)
        offered = await self._features()
        if not offered & VERSION_1:
            raise NoDevice("the device knows only the legacy interface")
        agreed = offered & (wanted | VERSION_1 | ACCESS_PLATFORM)
        for half in range(2):
            await self.store(_DRIVER_FEATURES_SEL, half)
            await self.store(_DRIVER_FEATURES, agreed >> 32 * half & 0xFFFF_FFFF)
        await self.store(_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK)
        if not await self.load(_STATUS) & FEATURES_OK:
            raise NoDevice(f"the device does not accept the features {agreed:#x}")
        return agreed

    async def _features(self) -> int:
        features = 0
        for half in range(2):
            await self.store(_DEVICE_FEATURES_SEL, half)
            features |= await self.load(_DEVICE_FEATURES) << 32 * half
        return features

    async def start(self) -> None:
        """Let the device work, once its queues are set up."""
        await self.store(_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)

    async def config(self, offset: int, size: int) -> int:
        """A number of 1, 2, 4 or 8 bytes in the configuration space."""
        if size == 8:
            return await self.load(_CONFIG + offset) | await self.load(_CONFIG + offset + 4) << 32
        return await self.pd.load(self.base + _CONFIG + offset, size)

    async def take_interrupt(self) -> None:
        """Acknowledge what the device interrupts for. Raises DeviceMisbehaved if it asks for a reset."""
        reasons = await self.load(_INTERRUPT_STATUS)
        if reasons:
            await self.store(_INTERRUPT_ACK, reasons)
        if reasons & 2 and await self.load(_STATUS) & NEEDS_RESET:
            raise DeviceMisbehaved("the device asks to be reset")

    async def notify(self, queue: int) -> None:
        """Tell the device that a queue has something for it."""
        await self.store(_QUEUE_NOTIFY, queue)

    async def set_up(self, index: int, layout: "Layout") -> None:
        """Tell the device where a queue lies. Raises NoDevice if it has no such queue, or only a smaller one."""
        await self.store(_QUEUE_SEL, index)
        largest = await self.load(_QUEUE_SIZE_MAX)
        if largest < layout.size:
            raise NoDevice(f"queue {index} has at most {largest} places, not {layout.size}")
        await self.store(_QUEUE_SIZE, layout.size)
        places = {_QUEUE_DESC: 0, _QUEUE_DRIVER: layout.available, _QUEUE_DEVICE: layout.used}
        for register, offset in places.items():
            address = layout.io + offset
            await self.store(register, address & 0xFFFF_FFFF)
            await self.store(register + 4, address >> 32)
        await self.store(_QUEUE_READY, 1)


@frozen
class Layout:
    """Where a queue of ``size`` places lies: at ``vaddr`` for the driver, at ``io`` for the device."""

    vaddr: int
    io: int
    size: int

    @property
    def available(self) -> int:
        """The offset of what the driver offers, behind the descriptors."""
        return 16 * self.size

    @property
    def used(self) -> int:
        """The offset of what the device is done with."""
        return (self.available + 6 + 2 * self.size + 3) & ~3

    @property
    def bytes(self) -> int:
        """All of it."""
        return (self.used + 6 + 8 * self.size + 7) & ~7


@frozen
class Buffer:
    """A piece of memory for the device: its I/O address, its length, and whether the device is to write to it."""

    io: int
    length: int
    is_for_device_to_write: bool


@define
class Queue:
    """A queue in which each request takes ``chain`` descriptors, always the same ones: request n those from n·chain on.

    ``outstanding`` maps the requests that the device has to how many bytes it may write for each.
    """

    pd: PD
    layout: Layout
    chain: int
    outstanding: dict[int, int] = field(factory=dict)
    _offered: int = 0
    _seen: int = 0

    @property
    def places(self) -> int:
        """How many requests the queue can hold."""
        return self.layout.size // self.chain

    async def clear(self) -> None:
        """Empty the rings, before the device is told of them."""
        self.outstanding.clear()
        self._offered = self._seen = 0
        await self.pd.write(self.layout.vaddr, bytes(self.layout.bytes))

    def free_place(self) -> int | None:
        """A request number that is not in use, or None."""
        return next((place for place in range(self.places) if place not in self.outstanding), None)

    async def offer(self, place: int, buffers: Sequence[Buffer]) -> None:
        """Give a request to the device; it is to be notified afterwards."""
        first = place * self.chain
        descriptors = b""
        for index, buffer in enumerate(buffers):
            is_last = index == len(buffers) - 1
            flags = (0 if is_last else _NEXT) | (_WRITE if buffer.is_for_device_to_write else 0)
            descriptors += _DESCRIPTOR.pack(buffer.io, buffer.length, flags, 0 if is_last else first + index + 1)
        await self.pd.write(self.layout.vaddr + 16 * first, descriptors)
        ring = self.layout.vaddr + self.layout.available
        await self.pd.store(ring + 4 + 2 * (self._offered % self.layout.size), first, 2)
        self._offered = self._offered + 1 & 0xFFFF
        self.outstanding[place] = sum(buffer.length for buffer in buffers if buffer.is_for_device_to_write)
        await self.pd.store(ring + 2, self._offered, 2)

    async def completed(self) -> list[tuple[int, int]]:
        """The requests that the device has done since the last time, each with the bytes that it says it wrote.

        Raises DeviceMisbehaved for one that it did not have, or more bytes than there was room for.
        """
        ring = self.layout.vaddr + self.layout.used
        index = await self.pd.load(ring + 2, 2)
        if (index - self._seen & 0xFFFF) > len(self.outstanding):
            raise DeviceMisbehaved(f"the used ring moved from {self._seen} to {index}, beyond what was offered")
        done = []
        while self._seen != index:
            entry = await self.pd.read(ring + 4 + 8 * (self._seen % self.layout.size), 8)
            done.append(self._checked(*_USED.unpack(entry)))
            self._seen = self._seen + 1 & 0xFFFF
        return done

    def _checked(self, head: int, written: int) -> tuple[int, int]:
        place, rest = divmod(head, self.chain)
        room = self.outstanding.pop(place, None)
        if room is None or rest:
            raise DeviceMisbehaved(f"descriptor {head} is said to be done, but was not offered")
        if written > room:
            raise DeviceMisbehaved(f"{written} bytes are said to be written where {room} fit")
        return place, written


class Device(ABC):
    """A device as its driver knows it, and what it was given: when it breaks its rules it is reset and given all again.

    ``resets`` counts the resets since the device was last seen to have done something, which ``collect`` notes. After
    ``MAX_RESETS`` of them the error is raised: somebody else decides what is to become of driver and device.
    """

    kind: ClassVar[int]
    """Its device id (VIRTIO 1.2, section 5)."""
    wanted: ClassVar[int] = 0
    """Features that the driver uses if the device has them."""

    def __init__(self, pd: PD, registers: int, *queues: Queue) -> None:
        self.pd = pd
        self.transport = Transport(pd, registers)
        self.queues = queues
        self.features = 0
        self.resets = 0

    async def start(self) -> None:
        """Reset the device, make it ready, and give it what it is to do. Raises NoDevice, DeviceMisbehaved."""
        await self.transport.reset()
        self.features = await self.transport.negotiate(self.kind, self.wanted)
        await self.configure()
        for index, queue in enumerate(self.queues):
            await queue.clear()
            await self.transport.set_up(index, queue.layout)
        await self.transport.start()
        await self.resume()

    async def notified(self, channel: int) -> None:
        """The device interrupts, or the supervisor wants a sign of life. Raises DeviceMisbehaved, NoDevice."""
        if channel == IRQ:
            await self.interrupt()
            await self.pd.irq_ack(IRQ)
        elif channel == SUPERVISOR:
            await self.look()
            await self.pd.notify(SUPERVISOR)

    async def interrupt(self) -> None:
        """The device has interrupted."""
        await self._unless_it_misbehaves(self.transport.take_interrupt, self.collect)

    async def look(self) -> None:
        """See whether an interrupt was lost, and whether something takes too long."""
        await self._unless_it_misbehaves(self.collect, self.beat)

    async def settle(self) -> None:
        """Take what is done now, for somebody who waits for it."""
        await self._unless_it_misbehaves(self.collect)

    async def _unless_it_misbehaves(self, *works: Callable[[], Awaitable[None]]) -> None:
        try:
            for work in works:
                await work()
        except DeviceMisbehaved:
            self.resets += 1
            if self.resets > MAX_RESETS:
                raise
            await self.start()

    @abstractmethod
    async def configure(self) -> None:
        """Read the device's configuration, between features and queues."""

    @abstractmethod
    async def resume(self) -> None:
        """Give the device, which was reset, all that it is to do."""

    @abstractmethod
    async def collect(self) -> None:
        """Take what is done out of the rings. Raises DeviceMisbehaved."""

    @abstractmethod
    async def beat(self) -> None:
        """At each sign of life: see whether something takes too long. Raises DeviceMisbehaved."""
