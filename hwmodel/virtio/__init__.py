"""Virtio devices behind virtio-mmio windows (VIRTIO 1.2, section 4.2): block, network, entropy, or an empty slot.

`factories` makes what a `Machine` takes as `devices`; `transport` is the registers, `processor` the device's steps,
`queue` the split virtqueues, and `blk`, `net`, `rng` what each kind does with a request.
"""

from hwmodel.virtio.factories import virtio_blk, virtio_net, virtio_rng
from hwmodel.virtio.slot import EmptyVirtioSlot

__all__ = ["EmptyVirtioSlot", "virtio_blk", "virtio_net", "virtio_rng"]
