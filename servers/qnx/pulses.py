"""Pulses: small messages of a fixed size that nobody waits for (``MsgSendPulse``).

A notification alone would lose them: signals that come together are one. So the payload goes through memory that
sender and receiver share, a ring for each sender, and the notification only says that there is something. A sender
never blocks: if its ring is full it gets EAGAIN, and no pulse that was accepted is lost. A ring belongs to one sender,
so whoever spoils it spoils its own pulses.

| word of the ring | content                                                      | written by |
|-----------------:|--------------------------------------------------------------|------------|
|                0 | how many pulses were ever sent                               | sender     |
|                1 | how many were ever taken                                     | receiver   |
|   2 + 2n, 3 + 2n | the n-th place: code (8 bits) and priority (8 bits); value   | sender     |
"""

import struct
from heapq import heappop, heappush
from typing import Final

from attrs import frozen

from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from servers.qnx.errors import Errno, QnxError

MIN_CODE, MAX_CODE = -128, 127
UNBLOCK: Final = -32
"""Code of the pulse that says that a client has given up waiting for the reply (``_PULSE_CODE_UNBLOCK``)."""
MAX_PRIORITY: Final = 255
SENT, TAKEN, PLACES, PLACE = 0, 8, 16, 16


@frozen
class Pulse:
    """A pulse: ``code`` of 8 bits with a sign (those below 0 are the system's), ``value`` of 64 bits without one,
    ``priority`` 0 to 255, and the number of the connection through which it came. Raises QnxError EINVAL.
    """

    code: int
    value: int
    priority: int = 0
    connection: int = 0

    def __attrs_post_init__(self) -> None:
        """Check the sizes."""
        if not MIN_CODE <= self.code <= MAX_CODE:
            raise QnxError(Errno.EINVAL, f"a pulse's code is {MIN_CODE} to {MAX_CODE}, not {self.code}")
        if not 0 <= self.value < 1 << 64:
            raise QnxError(Errno.EINVAL, f"a pulse's value has 64 bits, {self.value} does not fit")
        if not 0 <= self.priority <= MAX_PRIORITY:
            raise QnxError(Errno.EINVAL, f"a priority is 0 to {MAX_PRIORITY}, not {self.priority}")


def capacity_of(region: SharedRegion) -> int:
    """How many pulses a ring holds."""
    return (region.size - PLACES) // PLACE


class PulseSender:
    """The sender's end of a ring; ``channel`` is the one to signal."""

    def __init__(self, pd: PD, region: SharedRegion, channel: int) -> None:
        self.pd = pd
        self.region = region
        self.channel = channel

    async def send(self, priority: int, code: int, value: int = 0) -> None:
        """Send, without waiting. Raises QnxError: EAGAIN if the ring is full, EINVAL for what is no pulse."""
        Pulse(code, value, priority)
        start, number = self.region.vaddr, await self.count()
        place = start + PLACES + number % capacity_of(self.region) * PLACE
        await self.pd.write(place, struct.pack("<QQ", code & 0xFF | priority << 8, value))
        await self.pd.store(start + SENT, number + 1)
        await self.pd.notify(self.channel)

    async def count(self) -> int:
        """How many were ever sent. Raises QnxError EAGAIN if there is no room for one more."""
        sent, taken = struct.unpack("<2Q", await self.pd.read(self.region.vaddr, PLACES))
        capacity = capacity_of(self.region)
        if sent - taken >= capacity:
            raise QnxError(Errno.EAGAIN, f"{capacity} pulses wait already")
        return int(sent)


class PulseRing:
    """The receiver's end of a ring. ``spoilt`` counts how often its sender wrote what cannot be."""

    def __init__(self, pd: PD, region: SharedRegion) -> None:
        self.pd = pd
        self.region = region
        self.spoilt = 0

    async def take(self, connection: int) -> list[Pulse]:
        """All pulses that are there, in the order in which they were sent."""
        waiting = await self.waiting()
        found = [await self._at(number, connection) for number in waiting]
        await self.skip(waiting)
        return found

    async def waiting(self) -> range:
        """The numbers of the pulses that are there; none if the sender wrote what cannot be."""
        start = self.region.vaddr
        sent, taken = struct.unpack("<2Q", await self.pd.read(start, PLACES))
        if 0 <= sent - taken <= capacity_of(self.region):
            return range(taken, sent)
        self.spoilt += 1
        await self.pd.store(start + SENT, taken)
        return range(0)

    async def skip(self, waiting: range) -> None:
        """These are taken."""
        if waiting:
            await self.pd.store(self.region.vaddr + TAKEN, waiting.stop)

    async def _at(self, number: int, connection: int) -> Pulse:
        place = number % capacity_of(self.region)
        head, value = struct.unpack("<QQ", await self.pd.read(self.region.vaddr + PLACES + place * PLACE, PLACE))
        code = (head & 0xFF ^ 0x80) - 0x80
        return Pulse(code, value, head >> 8 & MAX_PRIORITY, connection)


class PulseQueue:
    """Pulses that were taken out of their rings: the highest priority first, of the same one the oldest."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Pulse]] = []
        self._count = 0

    def put(self, pulse: Pulse) -> None:
        """One more."""
        self._count += 1
        heappush(self._heap, (-pulse.priority, self._count, pulse))

    def pop(self) -> Pulse:
        """The next one. Raises IndexError if there is none."""
        return heappop(self._heap)[2]

    @property
    def priority(self) -> int:
        """Of the next one; -1 if there is none."""
        return self._heap[0][2].priority if self._heap else -1

    def __len__(self) -> int:
        return len(self._heap)
