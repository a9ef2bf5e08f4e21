"""Another driver of a virtio disk: the device has one request at a time, and the nearest above is next, like a lift.

A disk whose heads move is faster so; and what was asked for first may come last, but never waits for more than one
sweep. The interface and the device are those of ``virtio_blk``, so the one can take the other's place.
"""

from servers.drivers import virtio_blk
from servers.drivers.virtio_blk import FLUSH, Request


class ElevatorDisk(virtio_blk.Disk):
    """The device; ``head`` is the sector behind the last request."""

    head = 0

    def choose(self) -> Request | None:
        """The nearest at the head or above it; from the start again if there is none. A flush when it waits longest."""
        if self.requests or not self.waiting:
            return None
        transfers = [each for each in self.waiting if each.kind != FLUSH]
        if self.waiting[0].kind == FLUSH or not transfers:
            return self.waiting[0]
        request = min(transfers, key=lambda each: (each.sector < self.head, each.sector))
        self.head = request.sector + 1
        return request


class Program(virtio_blk.Program):
    """The driver."""

    kind = ElevatorDisk
