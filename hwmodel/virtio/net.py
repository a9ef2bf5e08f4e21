"""A network card (VIRTIO 1.2, section 5.1) with one queue to receive (0) and one to transmit (1).

Configuration space, little endian: MAC address (6 bytes), status 16 (bit 0: the link is up), max_virtqueue_pairs 16,
MTU 16. Each frame has a header of 12 bytes before it, all zero but for num_buffers (16 bits at 10), which is 1 in
frames received; no checksum or segmentation is offloaded.

A frame moves in one step. Up to 64 frames that were received wait in the card; more wait in the peer. A frame longer
than MTU + 18 bytes, or than the buffer it should go to, is lost, and the buffer stays in its queue.
"""

import struct

from hwmodel.faults import FaultInjector, FaultKind
from hwmodel.network import Peer
from hwmodel.seeded import flip_bit
from hwmodel.stateful import Saveable
from hwmodel.virtio.function import LEFT_IN_QUEUE, VirtioFunction
from hwmodel.virtio.queue import MalformedRing, Request

MTU, MAC, STATUS = 1 << 3, 1 << 5, 1 << 16
"""Feature bits."""
RECEIVE, TRANSMIT = 0, 1
LINK_UP = 1
HEADER_BYTES = 12
_RECEIVED_HEADER = bytes(10) + b"\x01\x00"
WAITING_FRAMES = 64
_MIN_FRAME = 14
_FRAMING = 18
"""Addresses, type and a VLAN tag: what a frame has besides its payload."""


class VirtioNet(VirtioFunction):
    """The card, with its `mac` of 6 bytes and the `peer` at the other end of its cable. `lost` counts lost frames."""

    __slots__ = ("_late", "_link_up", "_mac", "_mtu", "_peer", "_waiting", "lost")
    STATE = ("_late", "_link_up", "_waiting", "lost")
    DEVICE_ID = 1
    QUEUES = 2

    def __init__(self, peer: Peer, mac: bytes, mtu: int = 1500) -> None:
        if len(mac) != 6 or not 68 <= mtu <= 65_500:
            raise ValueError("a MAC address has 6 bytes, and an MTU is 68 to 65500")
        self._peer = peer
        self._mac = mac
        self._mtu = mtu
        self._link_up = True
        self._waiting: list[bytes] = []
        self._late: bytes | None = None
        self.lost = 0

    def parts(self) -> tuple[Saveable, ...]:
        """Return the peer."""
        return (self._peer,)

    @property
    def features(self) -> int:
        """The feature bits of a network card."""
        return MTU | MAC | STATUS

    def configuration(self) -> bytes:
        """Return the configuration space."""
        return self._mac + struct.pack("<HHH", LINK_UP if self._link_up else 0, 1, self._mtu)

    def set_link(self, up: bool) -> None:
        """Plug or pull the cable; the transport must tell the driver (`VirtioMmio.configuration_changed`)."""
        self._link_up = up

    def poll(self) -> int:
        """Take frames in from the peer, as many as find room; with the cable pulled they are lost."""
        arrived = self._peer.receive(WAITING_FRAMES - len(self._waiting))
        good = [frame for frame in arrived if self._passes(frame)]
        self.lost += len(arrived) - len(good)
        self._waiting += good
        return len(arrived)

    def power_cut(self, survival: int, seed: tuple[int, int]) -> None:
        """Lose all frames that wait in the card."""
        self.lost += len(self._waiting)
        self._waiting.clear()
        self._late = None

    def ready_for(self, queue: int) -> bool:
        """Only the receive queue has to wait, for a frame."""
        return queue == TRANSMIT or bool(self._waiting)

    def step(self, request: Request, faults: FaultInjector) -> int | None:
        """Move one frame."""
        return self._receive(request, faults) if request.queue == RECEIVE else self._transmit(request, faults)

    def _passes(self, frame: bytes) -> bool:
        return self._link_up and _MIN_FRAME <= len(frame) <= self._mtu + _FRAMING

    def _receive(self, request: Request, faults: FaultInjector) -> int:
        if request.readable:
            raise MalformedRing("a buffer to receive into is writable only")
        frame = self._next_frame(faults)
        if request.writable < HEADER_BYTES + len(frame) or faults.strikes(FaultKind.LOST_FRAME):
            self.lost += 1
            return LEFT_IN_QUEUE
        if faults.strikes(FaultKind.DOUBLE_FRAME):
            self._waiting.insert(0, frame)
        data = _RECEIVED_HEADER + self._corrupted(frame, faults)
        request.write(0, data)
        return len(data)

    def _next_frame(self, faults: FaultInjector) -> bytes:
        late = len(self._waiting) > 1 and faults.strikes(FaultKind.LATE_FRAME)
        return self._waiting.pop(1 if late else 0)

    def _transmit(self, request: Request, faults: FaultInjector) -> int:
        size = request.readable - HEADER_BYTES
        if size < 0 or request.writable:
            raise MalformedRing("a frame to transmit has a header and is readable only")
        if size > self._mtu + _FRAMING:
            self.lost += 1
            return 0
        frame = self._corrupted(request.read(HEADER_BYTES, size), faults)
        if not self._passes(frame) or faults.strikes(FaultKind.LOST_FRAME):
            self.lost += 1
        elif self._late is None and faults.strikes(FaultKind.LATE_FRAME):
            self._late = frame
        else:
            self._send(frame, faults)
        return 0

    def _send(self, frame: bytes, faults: FaultInjector) -> None:
        late, self._late = self._late, None
        self._peer.send(frame)
        if faults.strikes(FaultKind.DOUBLE_FRAME):
            self._peer.send(frame)
        if late is not None:
            self._peer.send(late)

    def _corrupted(self, frame: bytes, faults: FaultInjector) -> bytes:
        if frame and faults.strikes(FaultKind.CORRUPT_DATA):
            return flip_bit(frame, faults.plan.seed, faults.steps)
        return frame
