"""Builds the device behind each window of a board."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from hwmodel.backend import Backend
from hwmodel.board import DeviceWindow
from hwmodel.bus import Device
from hwmodel.dma import DmaEngine, DmaPort
from hwmodel.events import EventQueue
from hwmodel.iommu import Iommu
from hwmodel.irqchip import IrqChip
from hwmodel.memory import Memory
from hwmodel.stateful import Saved
from hwmodel.timer_device import TimerDevice
from hwmodel.uart import Uart
from hwmodel.virtio import EmptyVirtioSlot


class MachineDevice(Device, Protocol):
    """A device that can be saved with its machine."""

    def snapshot(self) -> Saved:
        """Save the device's state."""
        ...

    def restore(self, saved: Saved) -> None:
        """Go back to a saved state."""
        ...


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a machine offers to the devices that are built into it."""

    memory: Memory
    irqchip: IrqChip
    events: EventQueue
    iommu: Iommu | None
    uart_backend: Backend
    on_dma_write: Callable[[], None]

    def irq_wire(self, window: DeviceWindow) -> Callable[[bool], None]:
        """Return the function that drives a window's interrupt wire."""
        if window.irq == 0:
            return lambda asserted: None
        return partial(self.irqchip.set_level, window.irq)

    def dma_port(self, window: DeviceWindow) -> DmaPort:
        """Return a window's way to RAM. Raises ValueError if the board gives it no request id."""
        if window.request_id is None:
            raise ValueError(f"device {window.name} has no request id")
        return DmaPort(self.memory, self.iommu, window.request_id, self.on_dma_write)


DeviceFactory = Callable[[DeviceWindow, Wiring], MachineDevice]


def _uart(window: DeviceWindow, wiring: Wiring) -> Uart:
    return Uart(window.name, wiring.events, wiring.irq_wire(window), wiring.uart_backend)


def _timer(window: DeviceWindow, wiring: Wiring) -> TimerDevice:
    return TimerDevice(window.name, wiring.events, wiring.irq_wire(window))


def _dma(window: DeviceWindow, wiring: Wiring) -> DmaEngine:
    port = wiring.dma_port(window)
    return DmaEngine(window.name, wiring.events, wiring.irq_wire(window), port)


def _empty_virtio(window: DeviceWindow, wiring: Wiring) -> EmptyVirtioSlot:
    return EmptyVirtioSlot()


FACTORIES: dict[str, DeviceFactory] = {
    "ns16550": _uart,
    "timer": _timer,
    "dma": _dma,
    "virtio-mmio": _empty_virtio,
}
"""The device for each kind of window."""
