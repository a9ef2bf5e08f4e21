"""Faults for devices that are no more than registers and a wire: serial ports, timers, the clock, the DMA engine.

What goes wrong does so between the device and the bus, so the devices know nothing of it. A step is an access to a
register; `FaultKind` says for each kind what it is here.
"""

from collections.abc import Callable
from dataclasses import replace

from hwmodel.board import DeviceWindow
from hwmodel.devices import FACTORIES
from hwmodel.events import EventQueue
from hwmodel.faults import Fault, FaultInjector, FaultKind, FaultPlan
from hwmodel.memory import BusError
from hwmodel.seeded import flip_bit
from hwmodel.stateful import Saveable, Stateful
from hwmodel.virtio.processor import STORM_TICKS
from hwmodel.wiring import DeviceFactory, InputDevice, MachineDevice, Wiring

REGISTER_FAULTS = (
    FaultKind.POWER_CUT, FaultKind.RESET, FaultKind.STALL, FaultKind.INTERRUPT_STORM, FaultKind.LOST_INTERRUPT,
    FaultKind.CORRUPT_DATA, FaultKind.IO_ERROR, FaultKind.LOST_WRITE,
)  # fmt: skip
"""What can go wrong with such a device."""


class FailingDevice(Stateful):
    """A device behind its faults. `faults` counts the accesses; `powered` says whether it answers at all."""

    __slots__ = (
        "_device", "_events", "_is_asserted", "_is_lost", "_losing", "_name", "_pristine", "_set_irq", "_silent",
        "_storm_name", "_storms", "faults", "powered",
    )  # fmt: skip
    STATE = ("_is_asserted", "_is_lost", "_losing", "_silent", "_storms", "powered")

    def __init__(
        self, name: str, events: EventQueue, set_irq: Callable[[bool], None], plan: FaultPlan,
        build: Callable[[Callable[[bool], None]], MachineDevice],
    ) -> None:  # fmt: skip
        self._name = name
        self._storm_name = f"{name}: storm"
        self._events = events
        self._set_irq = set_irq
        self.faults = FaultInjector(plan)
        self.powered = True
        self._is_asserted = self._is_lost = self._storms = False
        self._silent = 0
        self._losing: tuple[int, int] | None = None
        """The step and parameter of a LOST_INTERRUPT that has not met an interrupt yet."""
        self._device = build(self._wire)
        self._pristine = self._device.snapshot()
        events.connect(self._storm_name, self._storm_ends)

    def parts(self) -> tuple[Saveable, ...]:
        """Return the inside."""
        return (self.faults, self._device)

    # Registers

    def read(self, offset: int, size: int) -> int:
        """Read a register. Raises `BusError` as the device does, and if nothing answers."""
        if not self._answers(offset):
            return 0 if self.powered else (1 << 8 * size) - 1
        return self._perhaps_corrupted(self._device.read(offset, size), size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register. Errors as for `read`."""
        if self._answers(offset) and not self.faults.strikes(FaultKind.LOST_WRITE):
            self._device.write(offset, size, self._perhaps_corrupted(value, size))

    def _answers(self, offset: int) -> bool:
        """Count a step, and let happen what goes wrong before it; say whether the device takes the access."""
        if not self.powered:
            return False
        if self._silent:
            self._silent -= 1
            self.faults.next_step()
            return False
        return not self.faults.next_step() or self._survives(offset)

    def _survives(self, offset: int) -> bool:
        faults = self.faults
        if fault := faults.strikes(FaultKind.INTERRUPT_STORM):
            self._storm(max(fault.parameter, 1))
        if fault := faults.due(FaultKind.LOST_INTERRUPT):
            self._losing = (fault.step, fault.parameter)
        if fault := faults.strikes(FaultKind.STALL):
            self._silent = max(fault.parameter, 1) - 1
            return False
        if faults.strikes(FaultKind.POWER_CUT):
            self.lose_power()
            return False
        if faults.strikes(FaultKind.RESET):
            self._forget()
        if faults.strikes(FaultKind.IO_ERROR):
            raise BusError(offset, "the device does not answer")
        return True

    def _perhaps_corrupted(self, value: int, size: int) -> int:
        if not self.faults.strikes(FaultKind.CORRUPT_DATA):
            return value
        data = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        return int.from_bytes(flip_bit(data, self.faults.plan.seed, self.faults.steps), "little")

    # Power

    def lose_power(self) -> None:
        """Be dead: all ones on the bus, no interrupt, nothing kept."""
        self._forget()
        self.powered = False

    def power_on(self) -> None:
        """The power is back; the device is as it was built."""
        self.powered = True

    def _forget(self) -> None:
        self._events.cancel(self._name)
        self._device.restore(self._pristine)
        self._wire(False)

    # The wire

    def _wire(self, asserted: bool) -> None:
        """The device drives its wire: an interrupt begins, goes on, or ends."""
        if asserted and not self._is_asserted and self._losing:
            step, parameter = self._losing
            self._losing = None
            self._is_lost = True
            self.faults.activate(Fault(step, FaultKind.LOST_INTERRUPT, parameter))
        self._is_asserted = asserted
        self._is_lost &= asserted
        self._drive()

    def _drive(self) -> None:
        self._set_irq(self._storms or (self._is_asserted and not self._is_lost))

    def _storm(self, count: int) -> None:
        self._storms = True
        self._drive()
        self._events.cancel(self._storm_name)
        self._events.schedule(self._events.clock.now + count * STORM_TICKS, self._storm_name)

    def _storm_ends(self, _code: int) -> None:
        self._storms = False
        self._drive()

    # The outside

    def poll(self) -> int:
        """Take in what has arrived, if it is a device that something comes to and it has power."""
        return self._device.poll() if self.powered and isinstance(self._device, InputDevice) else 0


def failing(plan: FaultPlan | None = None, factory: DeviceFactory | None = None) -> DeviceFactory:
    """Let a device of registers fail as planned, as in ``devices={"uart0": failing(plan)}``.

    `factory` builds the device, if it is not the one that the board has there. Virtio devices take plans themselves.
    """

    def build(window: DeviceWindow, wiring: Wiring) -> FailingDevice:
        make = factory or FACTORIES[window.kind]

        def inside(set_irq: Callable[[bool], None]) -> MachineDevice:
            return make(window, replace(wiring, set_irq_level=lambda _irq, asserted: set_irq(asserted)))

        return FailingDevice(window.name, wiring.events, wiring.irq_wire(window), plan or FaultPlan(), inside)

    return build
