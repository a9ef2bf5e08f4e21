"""A real-time clock with the registers of the Goldfish platform's: wall time in nanoseconds since 1970, and an alarm.

Registers (offsets in bytes; all take 4-byte accesses only):

    0x00  TIME_LOW         read: the low half of the time, and the high half is kept for TIME_HIGH; write: set it
    0x04  TIME_HIGH        read: the high half as of the last read of TIME_LOW; write: set it
    0x08  ALARM_LOW        read/write  the low half of the alarm's time; writing arms it, so write the high half first
    0x0c  ALARM_HIGH       read/write  the high half
    0x10  IRQ_ENABLED      read/write  bit 0: interrupt while an alarm is unanswered
    0x14  CLEAR_ALARM      write       disarm, whatever the value
    0x18  ALARM_STATUS     read        1 while armed
    0x1c  CLEAR_INTERRUPT  write       answer the alarm, whatever the value

An alarm whose time has come already goes off at once. The wall time at tick 0 is configuration; nothing asks the host.
"""

from collections.abc import Callable

from hwmodel.board import DeviceWindow
from hwmodel.events import EventQueue
from hwmodel.registers import MASK32, require_size, with_half
from hwmodel.stateful import Stateful
from hwmodel.wiring import DeviceFactory, Wiring

TIME_LOW, TIME_HIGH, ALARM_LOW, ALARM_HIGH = 0x00, 0x04, 0x08, 0x0C
IRQ_ENABLED, CLEAR_ALARM, ALARM_STATUS, CLEAR_INTERRUPT = 0x10, 0x14, 0x18, 0x1C

NS_PER_TICK = 100
DEFAULT_EPOCH_NS = 1_735_689_600_000_000_000
"""The start of 2025, UTC."""
_MASK64 = (1 << 64) - 1


class RealTimeClock(Stateful):
    """The device. `epoch_ns` is the wall time at tick 0; setting the clock changes it."""

    __slots__ = ("_alarm", "_armed", "_enabled", "_epoch", "_events", "_high", "_name", "_rung", "_set_irq")
    STATE = ("_alarm", "_armed", "_enabled", "_epoch", "_high", "_rung")

    def __init__(self, name: str, events: EventQueue, set_irq: Callable[[bool], None], epoch_ns: int) -> None:
        self._name = name
        self._events = events
        self._set_irq = set_irq
        self._epoch = epoch_ns
        self._high = self._alarm = self._enabled = 0
        self._armed = self._rung = False
        events.connect(name, self._ring)

    def now_ns(self) -> int:
        """Return the wall time."""
        return (self._epoch + self._events.clock.now * NS_PER_TICK) & _MASK64

    def read(self, offset: int, size: int) -> int:
        """Read a register (see the table above)."""
        require_size(offset, size, 4)
        if offset == TIME_LOW:
            now = self.now_ns()
            self._high = now >> 32
            return now & MASK32
        return {
            TIME_HIGH: self._high, ALARM_LOW: self._alarm & MASK32, ALARM_HIGH: self._alarm >> 32,
            IRQ_ENABLED: self._enabled, ALARM_STATUS: int(self._armed),
        }.get(offset, 0)  # fmt: skip

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register (see the table above)."""
        require_size(offset, size, 4)
        if offset in (TIME_LOW, TIME_HIGH):
            self._set_time(with_half(self.now_ns(), offset, 4, value))
        elif offset in (ALARM_LOW, ALARM_HIGH):
            self._alarm = with_half(self._alarm, offset, 4, value)
            if offset == ALARM_LOW:
                self._arm(True)
        elif offset == IRQ_ENABLED:
            self._enabled = value & 1
        elif offset == CLEAR_ALARM:
            self._arm(False)
        elif offset == CLEAR_INTERRUPT:
            self._rung = False
        self._drive_irq()

    def _set_time(self, wanted: int) -> None:
        self._epoch += wanted - self.now_ns()
        self._arm(self._armed)

    def _arm(self, armed: bool) -> None:
        """Plan the alarm anew, or not at all."""
        self._events.cancel(self._name)
        self._armed = armed
        if not armed:
            return
        left = self._alarm - self.now_ns()
        if left <= 0:
            self._ring(0)
        else:
            self._events.schedule(self._events.clock.now - (-left // NS_PER_TICK), self._name)

    def _ring(self, _code: int) -> None:
        self._armed = False
        self._rung = True
        self._drive_irq()

    def _drive_irq(self) -> None:
        self._set_irq(bool(self._enabled and self._rung))


def real_time_clock(epoch_ns: int = DEFAULT_EPOCH_NS) -> DeviceFactory:
    """Make the clock of a machine show `epoch_ns` at tick 0, as in ``devices={"rtc0": real_time_clock(ns)}``."""

    def build(window: DeviceWindow, wiring: Wiring) -> RealTimeClock:
        return RealTimeClock(window.name, wiring.events, wiring.irq_wire(window), epoch_ns)

    return build
