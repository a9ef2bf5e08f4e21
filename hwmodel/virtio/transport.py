"""The virtio-mmio transport: registers, device status, features, interrupts (VIRTIO 1.2, sections 2.1, 2.2 and 4.2).

The registers are those of `registers`; all take aligned 4-byte accesses only, the configuration space from 0x100 on
also 1, 2 and 8 bytes. Reading a write-only register gives 0 and storing to a read-only one does nothing.

VERSION_1 and ACCESS_PLATFORM must be accepted, or FEATURES_OK stays clear. The device touches memory only through its
`DmaPort`. A malformed ring, or an access that the IOMMU refuses, sets DEVICE_NEEDS_RESET; the device then does nothing
until it is reset by storing 0 to Status. A device without power answers all ones and ignores stores.
"""

from collections.abc import Callable

from hwmodel.board import DeviceWindow
from hwmodel.faults import FaultInjector, FaultPlan
from hwmodel.registers import MASK32, require_size, with_half
from hwmodel.stateful import Saveable, Stateful
from hwmodel.virtio import registers as reg
from hwmodel.virtio.function import VirtioFunction
from hwmodel.virtio.processor import Processor
from hwmodel.virtio.queue import MAX_SIZE, MalformedRing, Virtqueue
from hwmodel.wiring import Wiring

_ADDRESSES = {
    reg.QUEUE_DESC_LOW: "descriptors",
    reg.QUEUE_DRIVER_LOW: "driver_area",
    reg.QUEUE_DEVICE_LOW: "device_area",
}
_DRIVER_BITS = reg.ACKNOWLEDGE | reg.DRIVER | reg.DRIVER_OK | reg.FEATURES_OK | reg.FAILED


class VirtioMmio(Stateful):
    """A virtio device in a window. `function` is the kind of device, `faults` counts its steps, `port` its accesses."""

    __slots__ = (
        "_device_sel", "_driver_features", "_driver_sel", "_generation", "_interrupts", "_processor", "_queue_sel",
        "_set_irq", "_status", "faults", "function", "port", "powered",
    )  # fmt: skip
    STATE = (
        "_device_sel", "_driver_features", "_driver_sel", "_generation", "_interrupts", "_queue_sel", "_status",
        "powered",
    )  # fmt: skip

    def __init__(
        self, window: DeviceWindow, wiring: Wiring, function: VirtioFunction, plan: FaultPlan | None = None
    ) -> None:
        self._set_irq = wiring.irq_wire(window)
        self.port = wiring.dma_port(window)
        self.function = function
        self.faults = FaultInjector(plan)
        self._processor = Processor(window.name, wiring.events, self.port, function, self.faults, self)
        self._device_sel = self._driver_sel = self._queue_sel = 0
        self._driver_features = self._status = self._interrupts = self._generation = 0
        self.powered = True

    def parts(self) -> tuple[Saveable, ...]:
        """Return the inside."""
        return (self._processor,)

    # Registers

    def read(self, offset: int, size: int) -> int:
        """Read a register."""
        if offset >= reg.CONFIG:
            return self._read_configuration(offset - reg.CONFIG, size)
        require_size(offset, size, 4)
        reader = _READERS.get(offset)
        value = reader(self) if reader else 0
        return value if self.powered else MASK32

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register."""
        if offset < reg.CONFIG:
            require_size(offset, size, 4)
        if not self.powered:
            return
        if offset >= reg.CONFIG:
            self.function.configure(offset - reg.CONFIG, value.to_bytes(size, "little"))
        elif offset & ~4 in _ADDRESSES:
            self._write_address(offset, value)
        elif writer := _WRITERS.get(offset):
            writer(self, value)

    def _read_configuration(self, offset: int, size: int) -> int:
        data = self.function.configuration()[offset : offset + size] if self.powered else b"\xff" * size
        return int.from_bytes(data, "little")

    def _features_offered(self) -> int:
        return self.function.features | reg.TRANSPORT_FEATURES

    def _read_features(self) -> int:
        return self._features_offered() >> 32 * self._device_sel & MASK32 if self._device_sel < 2 else 0

    def _write_features(self, value: int) -> None:
        if self._driver_sel < 2 and not self._status & reg.FEATURES_OK:
            high_half = 4 * self._driver_sel
            self._driver_features = with_half(self._driver_features, high_half, 4, value)

    def _select_device_features(self, value: int) -> None:
        self._device_sel = value

    def _select_driver_features(self, value: int) -> None:
        self._driver_sel = value

    # Queues

    def _queue(self) -> Virtqueue | None:
        queues = self._processor.queues
        return queues[self._queue_sel] if self._queue_sel < len(queues) else None

    def _select_queue(self, value: int) -> None:
        self._queue_sel = value

    def _read_queue_ready(self) -> int:
        queue = self._queue()
        return int(queue is not None and queue.ready)

    def _write_queue_ready(self, value: int) -> None:
        queue = self._queue()
        if queue is None:
            return
        if not value & 1:
            self._processor.stop_queue(self._queue_sel)
            return
        try:
            queue.check()
        except MalformedRing:
            self.needs_reset()
        else:
            queue.ready = True

    def _write_queue_size(self, value: int) -> None:
        queue = self._queue()
        if queue is not None and not queue.ready:
            queue.size = value

    def _write_address(self, offset: int, value: int) -> None:
        queue = self._queue()
        if queue is not None and not queue.ready:
            name = _ADDRESSES[offset & ~4]
            setattr(queue, name, with_half(getattr(queue, name), offset, 4, value))

    def _reset_queue(self, value: int) -> None:
        if value & 1 and self._queue() is not None and self._driver_features & reg.RING_RESET:
            self._processor.reset_queue(self._queue_sel)

    def _notify(self, value: int) -> None:
        queues = self._processor.queues
        if value < len(queues):
            queues[value].notified = True
            self._processor.kick()

    # Status

    def _write_status(self, value: int) -> None:
        """Take the driver's bits; a bit once set stays until a reset, which is a store of 0."""
        if value == 0:
            self.forget()
            return
        new = value & _DRIVER_BITS & ~self._status
        if new & reg.FEATURES_OK and not self._features_acceptable():
            new &= ~reg.FEATURES_OK
        if not (self._status | new) & reg.FEATURES_OK:
            new &= ~reg.DRIVER_OK
        self._status |= new
        if new & reg.FEATURES_OK:
            self.function.negotiated(self._driver_features)
        if new & reg.DRIVER_OK and not self._status & reg.DEVICE_NEEDS_RESET:
            self._processor.start(self._driver_features)

    def _features_acceptable(self) -> bool:
        chosen = self._driver_features
        return not chosen & ~self._features_offered() and not reg.REQUIRED_FEATURES & ~chosen

    def forget(self) -> None:
        """Reset the device: everything but the medium, the far end and the counters."""
        self._processor.reset()
        self.function.negotiated(0)
        self._device_sel = self._driver_sel = self._queue_sel = 0
        self._driver_features = self._status = self._interrupts = 0
        self._drive_irq()

    def needs_reset(self) -> None:
        """Stop until the driver resets the device, and tell it so (section 2.1.2)."""
        self._processor.stop()
        self._status |= reg.DEVICE_NEEDS_RESET
        if self._status & reg.DRIVER_OK:
            self.configuration_changed()

    # Interrupts

    def completed(self) -> None:
        """Interrupt the driver for a used buffer."""
        self._interrupts |= reg.USED_BUFFER
        self._drive_irq()

    def configuration_changed(self) -> None:
        """Interrupt the driver for a change of configuration or status."""
        self._generation = (self._generation + 1) & MASK32
        self._interrupts |= reg.CONFIG_CHANGE
        self._drive_irq()

    def _acknowledge(self, value: int) -> None:
        self._interrupts &= ~value
        self._drive_irq()

    def _drive_irq(self) -> None:
        self._set_irq(self._interrupts != 0)

    # Power and the outside

    def lose_power(self) -> None:
        """Be dead: all ones on the bus, no interrupt, no steps. What was volatile is for the caller to lose."""
        self.forget()
        self.powered = False

    def cut_power(self, survival: int = 0, seed: int = 0) -> None:
        """Cut the power now, from outside; see `FaultKind.POWER_CUT` for `survival`."""
        self.function.power_cut(survival, (seed, self.faults.steps))
        self.lose_power()

    def power_on(self) -> None:
        """The power is back; the device is as after a reset."""
        self.powered = True

    def poll(self) -> int:
        """Take in what has arrived from outside; return how much."""
        if not self.powered:
            return 0
        arrived = self.function.poll()
        if arrived:
            self._processor.kick()
        return arrived


_READERS: dict[int, Callable[[VirtioMmio], int]] = {
    reg.MAGIC_VALUE: lambda device: reg.MAGIC,
    reg.VERSION: lambda device: 2,
    reg.DEVICE_ID: lambda device: device.function.DEVICE_ID,
    reg.VENDOR_ID: lambda device: reg.VENDOR,
    reg.DEVICE_FEATURES: VirtioMmio._read_features,
    reg.QUEUE_SIZE_MAX: lambda device: MAX_SIZE if device._queue() is not None else 0,
    reg.QUEUE_READY: VirtioMmio._read_queue_ready,
    reg.INTERRUPT_STATUS: lambda device: device._interrupts,
    reg.STATUS: lambda device: device._status,
    reg.SHM_LEN_LOW: lambda device: MASK32,
    reg.SHM_LEN_HIGH: lambda device: MASK32,
    reg.SHM_BASE_LOW: lambda device: MASK32,
    reg.SHM_BASE_HIGH: lambda device: MASK32,
    reg.CONFIG_GENERATION: lambda device: device._generation,
}
"""There is no shared memory: section 4.2.2 wants all ones as length and base. A queue's reset is done at once."""

_WRITERS: dict[int, Callable[[VirtioMmio, int], None]] = {
    reg.DEVICE_FEATURES_SEL: VirtioMmio._select_device_features,
    reg.DRIVER_FEATURES: VirtioMmio._write_features,
    reg.DRIVER_FEATURES_SEL: VirtioMmio._select_driver_features,
    reg.QUEUE_SEL: VirtioMmio._select_queue,
    reg.QUEUE_SIZE: VirtioMmio._write_queue_size,
    reg.QUEUE_READY: VirtioMmio._write_queue_ready,
    reg.QUEUE_NOTIFY: VirtioMmio._notify,
    reg.INTERRUPT_ACK: VirtioMmio._acknowledge,
    reg.STATUS: VirtioMmio._write_status,
    reg.QUEUE_RESET: VirtioMmio._reset_queue,
}
