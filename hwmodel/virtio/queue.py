"""Split virtqueues (VIRTIO 1.2, section 2.7), as a device reads and writes them through its `DmaPort`.

    descriptors   16 bytes each: address 64, length 32, flags 16 (NEXT, WRITE, INDIRECT), next 16
    driver area   flags 16, index 16, one descriptor number of 16 bits each, used_event 16
    device area   flags 16, index 16, (descriptor number 32, length 32) each, avail_event 16

Nothing a driver writes there is believed: what the specification forbids a driver is `MalformedRing`.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from hwmodel.dma import DmaPort
from hwmodel.stateful import Stateful

MAX_SIZE = 256
"""Descriptors in a queue at most; a power of two."""
NEXT, WRITE, INDIRECT = 1, 2, 4
NO_INTERRUPT = 1
_DESCRIPTOR = struct.Struct("<QIHH")
_PAGE = 4096

Segments = tuple[tuple[int, int], ...]
"""I/O addresses and lengths in bytes, none of length 0."""


class MalformedRing(Exception):
    """The driver broke a rule of the specification; the device can only ask for a reset."""


class Chain(NamedTuple):
    """One request: the number of its queue, its first descriptor, and its buffers."""

    queue: int
    head: int
    readable: Segments
    writable: Segments


def pieces(iova: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut a range of addresses at page boundaries, which is how a `DmaPort` wants it."""
    end = iova + size
    while iova < end:
        length = min(end - iova, _PAGE - iova % _PAGE)
        yield iova, length
        iova += length


def fetch(port: DmaPort, iova: int, size: int) -> bytes:
    """Read any range. Raises `DmaFault`."""
    return b"".join(port.read(place, length) for place, length in pieces(iova, size))


class Virtqueue(Stateful):
    """One queue, as the driver set it up. `notified` says that there may be something new in it."""

    __slots__ = ("descriptors", "device_area", "driver_area", "next_avail", "next_used", "notified", "ready", "size")
    STATE = ("descriptors", "device_area", "driver_area", "next_avail", "next_used", "notified", "ready", "size")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.descriptors = self.driver_area = self.device_area = 0
        self.next_avail = self.next_used = 0
        self.size = MAX_SIZE
        self.ready = self.notified = False

    def check(self) -> None:
        """Check what the driver has set up (section 2.7 for the alignments). Raises `MalformedRing`."""
        if not 0 < self.size <= MAX_SIZE or self.size & self.size - 1:
            raise MalformedRing(f"queue size {self.size}")
        if self.descriptors % 16 or self.driver_area % 2 or self.device_area % 4:
            raise MalformedRing("misaligned rings")

    # The driver area

    def has_available(self, port: DmaPort) -> bool:
        """Say whether the driver has made a request available. Raises `MalformedRing`, `DmaFault`."""
        waiting = (self._word(port, self.driver_area + 2) - self.next_avail) & 0xFFFF
        if waiting > self.size:
            raise MalformedRing(f"{waiting} requests in a queue of {self.size}")
        return waiting != 0

    def take(self, port: DmaPort, number: int, *, indirect: bool) -> Chain:
        """Take the next available request. Raises `MalformedRing`, `DmaFault`."""
        place = self.driver_area + 4 + 2 * (self.next_avail % self.size)
        head = self._word(port, place)
        if head >= self.size:
            raise MalformedRing(f"descriptor {head} of {self.size}")
        readable: list[tuple[int, int]] = []
        writable: list[tuple[int, int]] = []
        for address, length, flags in self._walk(port, head, indirect=indirect):
            if writable and not flags & WRITE:
                raise MalformedRing("a readable buffer after a writable one")
            if length:
                (writable if flags & WRITE else readable).append((address, length))
        self.next_avail = (self.next_avail + 1) & 0xFFFF
        return Chain(number, head, tuple(readable), tuple(writable))

    def put_back(self) -> None:
        """Let the request that was taken last be available again; none may have been taken since."""
        self.next_avail = (self.next_avail - 1) & 0xFFFF

    def _walk(self, port: DmaPort, head: int, *, indirect: bool) -> Iterator[tuple[int, int, int]]:
        """Yield a chain's (address, length, flags); at most as many as the queue has descriptors (2.7.5.3.1)."""
        table, count, index = self.descriptors, self.size, head
        for _ in range(self.size):
            if index >= count:
                raise MalformedRing(f"descriptor {index} of {count}")
            address, length, flags, index = _DESCRIPTOR.unpack(fetch(port, table + 16 * index, 16))
            if flags & INDIRECT:
                if not indirect or table != self.descriptors or flags & NEXT or not length or length % 16:
                    raise MalformedRing("an indirect descriptor where none may be")
                table, count, index = address, length // 16, 0
                indirect = False
                continue
            yield address, length, flags
            if not flags & NEXT:
                return
        raise MalformedRing("a chain longer than the queue")

    # The device area

    def put_used(self, port: DmaPort, head: int, written: int) -> None:
        """Give a request back: `written` bytes were stored. Raises `DmaFault`."""
        place = self.device_area + 4 + 8 * (self.next_used % self.size)
        _store(port, place, struct.pack("<II", head & 0xFFFFFFFF, written & 0xFFFFFFFF))
        self.next_used = (self.next_used + 1) & 0xFFFF
        _store(port, self.device_area + 2, self.next_used.to_bytes(2, "little"))

    def wants_interrupt(self, port: DmaPort, given: int, *, event_idx: bool) -> bool:
        """Say whether the driver is to be told of the last `given` completions (section 2.7.7)."""
        if not event_idx:
            return not self._word(port, self.driver_area) & NO_INTERRUPT
        used_event = self._word(port, self.driver_area + 4 + 2 * self.size)
        return (self.next_used - used_event - 1) & 0xFFFF < given

    def ask_for_notification(self, port: DmaPort) -> None:
        """With RING_EVENT_IDX, tell the driver to notify at the next request (section 2.7.10)."""
        _store(port, self.device_area + 4 + 8 * self.size, self.next_avail.to_bytes(2, "little"))

    def _word(self, port: DmaPort, iova: int) -> int:
        return int.from_bytes(port.read(iova, 2), "little")


def _store(port: DmaPort, iova: int, data: bytes) -> None:
    for place, length in pieces(iova, len(data)):
        start = place - iova
        port.write(place, data[start : start + length])


class Request:
    """The buffers of a chain as two byte strings (section 2.7.4: their cut into descriptors means nothing).

    `readable` and `writable` are their lengths in bytes; `moved` counts the bytes moved through this object.
    """

    __slots__ = ("_chain", "_port", "moved", "readable", "writable")

    def __init__(self, port: DmaPort, chain: Chain) -> None:
        self._port = port
        self._chain = chain
        self.moved = 0
        self.readable = sum(length for _, length in chain.readable)
        self.writable = sum(length for _, length in chain.writable)

    @property
    def queue(self) -> int:
        """The number of the queue it came through."""
        return self._chain.queue

    def read(self, offset: int, size: int) -> bytes:
        """Read from the readable part, as far as it goes. Raises `DmaFault`."""
        spans = _spans(self._chain.readable, offset, size)
        data = b"".join(fetch(self._port, iova, length) for iova, length in spans)
        self.moved += len(data)
        return data

    def write(self, offset: int, data: bytes) -> None:
        """Write to the writable part, as far as it goes. Raises `DmaFault`."""
        start = 0
        for iova, length in _spans(self._chain.writable, offset, len(data)):
            _store(self._port, iova, data[start : start + length])
            start += length
        self.moved += start


def _spans(segments: Segments, offset: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of segments that the bytes `offset` to `offset + size` of them all lie in."""
    for iova, length in segments:
        if size <= 0:
            return
        if offset < length:
            taken = min(size, length - offset)
            yield iova + offset, taken
            size -= taken
            offset = 0
        else:
            offset -= length
