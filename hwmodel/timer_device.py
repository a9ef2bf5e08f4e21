"""A timer for user space: one comparator on the machine's virtual clock, with its own interrupt.

Registers (offsets in bytes; 64-bit ones take 8-byte accesses or a 4-byte one for either half):

    0x00  COUNT    64  read-only   the current tick
    0x08  COMPARE  64  read/write  the tick at which to expire
    0x10  PERIOD   32  read/write  ticks from one expiry to the next; 0: expire once
    0x14  CONTROL  32  read/write  bit 0 ENABLE, bit 1 IRQ (interrupt while STATUS bit 0 is set)
    0x18  STATUS   32  read        bit 0 EXPIRED; write 1 to clear it

Setting ENABLE, or writing COMPARE while it is set, arms the timer; a tick already past expires at
once (a 4-byte store arms with the half it changed, so write the high half first, or disarm first).
The interrupt is a level and lasts until EXPIRED is cleared. Without a PERIOD, expiry clears ENABLE.
With one, clearing EXPIRED moves COMPARE on by as many periods as bring it past the current tick and
arms the timer again, so expiries that nobody acknowledged count as one.
"""

from collections.abc import Callable

from hwmodel.events import EventQueue
from hwmodel.registers import MASK32, half_of, require_size, with_half
from hwmodel.stateful import Stateful

COUNT, COMPARE, PERIOD, CONTROL, STATUS = 0x00, 0x08, 0x10, 0x14, 0x18
ENABLE, IRQ_ENABLE = 1, 2
EXPIRED = 1


class TimerDevice(Stateful):
    """The device. `set_irq` drives its wire; its events carry the device's `name`."""

    __slots__ = ("_compare", "_control", "_events", "_name", "_period", "_set_irq", "_status")
    STATE = ("_compare", "_control", "_period", "_status")

    def __init__(self, name: str, events: EventQueue, set_irq: Callable[[bool], None]) -> None:
        self._name = name
        self._events = events
        self._set_irq = set_irq
        self._compare = 0
        self._period = 0
        self._control = 0
        self._status = 0
        events.connect(name, self._expire)

    def read(self, offset: int, size: int) -> int:
        """Read a register (see the table above)."""
        register = offset & ~7
        if register in (COUNT, COMPARE):
            require_size(offset, size, 4, 8)
            return half_of(self._events.clock.now if register == COUNT else self._compare, offset, size)
        require_size(offset, size, 4)
        return {PERIOD: self._period, CONTROL: self._control, STATUS: self._status}.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register (see the table above)."""
        register = offset & ~7
        require_size(offset, size, *((4, 8) if register in (COUNT, COMPARE) else (4,)))
        if register == COMPARE:
            self._compare = with_half(self._compare, offset, size, value)
            self._arm()
        elif offset == PERIOD:
            self._period = value & MASK32
        elif offset == CONTROL:
            self._write_control(value & (ENABLE | IRQ_ENABLE))
        elif offset == STATUS:
            self._acknowledge(value & self._status)

    def _write_control(self, value: int) -> None:
        changed = self._control ^ value
        self._control = value
        if changed & ENABLE:
            self._arm()
        self._drive_irq()

    def _arm(self) -> None:
        """Plan the expiry anew; one that is due already happens now."""
        self._events.cancel(self._name)
        if not self._control & ENABLE:
            return
        if self._compare <= self._events.clock.now:
            self._expire(0)
        else:
            self._events.schedule(self._compare, self._name)

    def _expire(self, _code: int) -> None:
        self._status |= EXPIRED
        if not self._period:
            self._control &= ~ENABLE
        self._drive_irq()

    def _acknowledge(self, bits: int) -> None:
        self._status &= ~bits
        overdue = self._events.clock.now - self._compare
        if bits & EXPIRED and self._control & ENABLE and self._period and overdue >= 0:
            self._compare += (overdue // self._period + 1) * self._period
            self._arm()
        self._drive_irq()

    def _drive_irq(self) -> None:
        self._set_irq(bool(self._control & IRQ_ENABLE and self._status & EXPIRED))
