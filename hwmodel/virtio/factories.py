"""What a `Machine` takes as `devices` to have virtio devices in its slots.

    Machine(board, devices={"virtio0": virtio_blk(RamDisk(1 << 20)), "virtio1": virtio_rng(seed=1)})

A device's medium or far end can be handed to another machine later, as a disk survives a cut of the power.
"""

from hwmodel.block import BlockBacking
from hwmodel.board import DeviceWindow
from hwmodel.faults import FaultPlan
from hwmodel.network import Peer
from hwmodel.virtio.blk import VirtioBlk
from hwmodel.virtio.net import VirtioNet
from hwmodel.virtio.rng import VirtioRng
from hwmodel.virtio.transport import VirtioMmio
from hwmodel.wiring import DeviceFactory, Wiring


def virtio_blk(
    medium: BlockBacking, *, read_only: bool = False, identity: bytes = b"capkernel disk", plan: FaultPlan | None = None
) -> DeviceFactory:
    """A disk on `medium`; see `VirtioBlk`."""

    def build(window: DeviceWindow, wiring: Wiring) -> VirtioMmio:
        return VirtioMmio(window, wiring, VirtioBlk(medium, read_only=read_only, identity=identity), plan)

    return build


def virtio_rng(seed: int, *, plan: FaultPlan | None = None) -> DeviceFactory:
    """A source of entropy; see `VirtioRng`."""

    def build(window: DeviceWindow, wiring: Wiring) -> VirtioMmio:
        return VirtioMmio(window, wiring, VirtioRng(seed), plan)

    return build


def virtio_net(
    peer: Peer, *, mac: bytes = b"\x02\x00\x00\x00\x00\x01", mtu: int = 1500, plan: FaultPlan | None = None
) -> DeviceFactory:
    """A network card whose cable leads to `peer`; see `VirtioNet`."""

    def build(window: DeviceWindow, wiring: Wiring) -> VirtioMmio:
        return VirtioMmio(window, wiring, VirtioNet(peer, mac, mtu), plan)

    return build
