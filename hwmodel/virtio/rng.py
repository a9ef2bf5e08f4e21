"""A source of entropy (VIRTIO 1.2, section 5.4) that has none: its bytes follow from a seed and from what was drawn.

A request has only writable buffers. Each step fills up to 4096 bytes; a request gets up to 64 KiB, as a device may give
fewer bytes than were asked for.
"""

from hwmodel.faults import FaultInjector, FaultKind
from hwmodel.seeded import flip_bit, seeded_bytes
from hwmodel.virtio.function import VirtioFunction
from hwmodel.virtio.queue import MalformedRing, Request

PIECE = 4096
MAX_BYTES = 1 << 16


class VirtioRng(VirtioFunction):
    """The source; two with one seed give the same bytes."""

    __slots__ = ("_done", "_drawn", "_seed")
    STATE = ("_done", "_drawn")
    DEVICE_ID = 4

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._done = self._drawn = 0

    def abandon(self) -> None:
        """Begin the next request at its start; what was drawn is not drawn again."""
        self._done = 0

    def step(self, request: Request, faults: FaultInjector) -> int | None:
        """Fill the next piece."""
        total = min(request.writable, MAX_BYTES)
        if not total or request.readable:
            raise MalformedRing("a request for entropy is writable only")
        data = seeded_bytes(min(PIECE, total - self._done), self._seed, "entropy", self._drawn)
        self._drawn += 1
        if faults.strikes(FaultKind.CORRUPT_DATA):
            data = flip_bit(data, faults.plan.seed, faults.steps)
        request.write(self._done, data)
        self._done += len(data)
        if self._done < total:
            return None
        self._done = 0
        return total
