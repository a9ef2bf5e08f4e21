"""An empty virtio-mmio slot (VIRTIO 1.2, section 4.2.2): there, with no device in it."""

from hwmodel.stateful import Stateful
from hwmodel.virtio.registers import MAGIC, MAGIC_VALUE, VERSION


class EmptyVirtioSlot(Stateful):
    """Answers MagicValue and Version 2; DeviceID and all else is 0, and stores are ignored.

    A driver that sees DeviceID 0 must leave the slot alone.
    """

    __slots__ = ()

    def read(self, offset: int, size: int) -> int:
        """Read a register."""
        return {MAGIC_VALUE: MAGIC, VERSION: 2}.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:
        """Ignore the store."""
