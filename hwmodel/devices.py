"""Builds the device behind each window of a board."""

from hwmodel.board import DeviceWindow
from hwmodel.countdown import CountdownTimer
from hwmodel.dma import DmaEngine
from hwmodel.rtc import real_time_clock
from hwmodel.sifive_uart import SiFiveUart
from hwmodel.timer_device import TimerDevice
from hwmodel.uart import Uart
from hwmodel.virtio import EmptyVirtioSlot
from hwmodel.wiring import DeviceFactory, MachineDevice, Wiring

__all__ = ["FACTORIES", "DeviceFactory", "MachineDevice", "Wiring"]


def _uart(window: DeviceWindow, wiring: Wiring) -> Uart:
    return Uart(window.name, wiring.events, wiring.irq_wire(window), wiring.uart_backend)


def _timer(window: DeviceWindow, wiring: Wiring) -> TimerDevice:
    return TimerDevice(window.name, wiring.events, wiring.irq_wire(window))


def _sifive_uart(window: DeviceWindow, wiring: Wiring) -> SiFiveUart:
    return SiFiveUart(wiring.irq_wire(window), wiring.uart_backend)


def _countdown(window: DeviceWindow, wiring: Wiring) -> CountdownTimer:
    return CountdownTimer(window.name, wiring.events, wiring.irq_wire(window))


def _dma(window: DeviceWindow, wiring: Wiring) -> DmaEngine:
    port = wiring.dma_port(window)
    return DmaEngine(window.name, wiring.events, wiring.irq_wire(window), port)


def _empty_virtio(window: DeviceWindow, wiring: Wiring) -> EmptyVirtioSlot:
    return EmptyVirtioSlot()


FACTORIES: dict[str, DeviceFactory] = {
    "ns16550": _uart,
    "sifive-uart": _sifive_uart,
    "timer": _timer,
    "countdown": _countdown,
    "goldfish-rtc": real_time_clock(),
    "dma": _dma,
    "virtio-mmio": _empty_virtio,
}
"""The device for each kind of window."""
