"""A timer for user space that counts down, after the DesignWare APB timer: 32 bits, one tick (100 ns) a count.

Registers (offsets in bytes; all take 4-byte accesses only):

    0x00  LOAD      read/write  what the counter starts from
    0x04  CURRENT   read        the counter; 0 while disabled
    0x08  CONTROL   read/write  bit 0 ENABLE, bit 1 PERIODIC, bit 2 MASK (no interrupt)
    0x0c  EOI       read        reading clears the interrupt; the value is 0
    0x10  STATUS    read        bit 0: the interrupt, unless masked
    0x14  RAW       read        bit 0: the interrupt, masked or not

Setting ENABLE starts the counter at LOAD; 0 there counts as 1. When it reaches 0 the interrupt is raised, a level that
lasts until EOI is read, and the counter goes on: from LOAD if PERIODIC, otherwise from 2**32 - 1. A new LOAD takes
effect when the counter starts anew, of itself or by ENABLE. Expiries while the interrupt is raised count as one.
"""

from collections.abc import Callable

from hwmodel.events import EventQueue
from hwmodel.registers import MASK32, require_size
from hwmodel.stateful import Stateful

LOAD, CURRENT, CONTROL, EOI, STATUS, RAW = range(0x00, 0x18, 4)
ENABLE, PERIODIC, MASK = 1, 2, 4


class CountdownTimer(Stateful):
    """The device. `set_irq` drives its wire; its events carry the device's `name`."""

    __slots__ = ("_control", "_events", "_expiry", "_load", "_name", "_raw", "_set_irq")
    STATE = ("_control", "_expiry", "_load", "_raw")

    def __init__(self, name: str, events: EventQueue, set_irq: Callable[[bool], None]) -> None:
        self._name = name
        self._events = events
        self._set_irq = set_irq
        self._control = self._expiry = self._load = 0
        self._raw = False
        events.connect(name, self._expire)

    def read(self, offset: int, size: int) -> int:
        """Read a register (see the table above)."""
        require_size(offset, size, 4)
        if offset == EOI:
            self._acknowledge()
            return 0
        return {
            LOAD: self._load, CURRENT: self._current(), CONTROL: self._control,
            STATUS: int(self._asserted()), RAW: int(self._raw),
        }.get(offset, 0)  # fmt: skip

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register (see the table above)."""
        require_size(offset, size, 4)
        if offset == LOAD:
            self._catch_up()
            self._load = value
        elif offset == CONTROL:
            self._control_written(value & (ENABLE | PERIODIC | MASK))
        self._drive_irq()

    def _control_written(self, value: int) -> None:
        self._catch_up()
        changed = self._control ^ value
        self._control = value
        if changed & ENABLE:
            self._events.cancel(self._name)
            if value & ENABLE:
                self._expiry = self._events.clock.now + max(self._load, 1)
                self._schedule()

    def _catch_up(self) -> None:
        """Bring `_expiry`, the tick of the next expiry, past the present: expiries under a raised interrupt."""
        overdue = self._events.clock.now - self._expiry
        if self._control & ENABLE and overdue >= 0:
            period = max(self._load, 1) if self._control & PERIODIC else MASK32
            self._expiry += (overdue // period + 1) * period

    def _current(self) -> int:
        self._catch_up()
        return self._expiry - self._events.clock.now if self._control & ENABLE else 0

    def _expire(self, _code: int) -> None:
        self._catch_up()
        self._raw = True
        self._drive_irq()

    def _schedule(self) -> None:
        """Plan the next expiry; none is needed while the interrupt is raised."""
        if self._control & ENABLE and not self._raw:
            self._events.schedule(self._expiry, self._name)

    def _acknowledge(self) -> None:
        if self._raw:
            self._raw = False
            self._catch_up()
            self._schedule()
            self._drive_irq()

    def _asserted(self) -> bool:
        return self._raw and not self._control & MASK

    def _drive_irq(self) -> None:
        self._set_irq(self._asserted())
