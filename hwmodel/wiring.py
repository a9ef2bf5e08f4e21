"""What a machine offers to the devices that are built into it, and what it wants of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

from hwmodel.backend import Backend
from hwmodel.board import DeviceWindow
from hwmodel.bus import Device
from hwmodel.dma import DmaPort
from hwmodel.events import EventQueue
from hwmodel.iommu import Iommu
from hwmodel.memory import Memory
from hwmodel.stateful import Saved


class MachineDevice(Device, Protocol):
    """A device that can be saved with its machine."""

    def snapshot(self) -> Saved:
        """Save the device's state."""
        ...

    def restore(self, saved: Saved) -> None:
        """Go back to a saved state."""
        ...


@runtime_checkable
class InputDevice(Protocol):
    """A device to which something comes from outside the machine."""

    def poll(self) -> int:
        """Take in what has arrived and finds room; return how much that was, in the device's own units."""
        ...


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a machine offers to the devices that are built into it."""

    memory: Memory
    set_irq_level: Callable[[int, bool], None]
    events: EventQueue
    iommu: Iommu | None
    uart_backend: Backend
    on_dma_write: Callable[[], None]

    def irq_wire(self, window: DeviceWindow) -> Callable[[bool], None]:
        """Return the function that drives a window's interrupt wire."""
        if window.irq == 0:
            return lambda asserted: None
        return partial(self.set_irq_level, window.irq)

    def dma_port(self, window: DeviceWindow) -> DmaPort:
        """Return a window's way to RAM; on a board without an IOMMU it takes physical addresses.

        Raises ValueError if there is an IOMMU and the board gives the window no request id.
        """
        if self.iommu is not None and window.request_id is None:
            raise ValueError(f"device {window.name} has no request id")
        return DmaPort(self.memory, self.iommu, window.request_id or 0, self.on_dma_write)


DeviceFactory = Callable[[DeviceWindow, Wiring], MachineDevice]
"""Builds the device behind a window."""
