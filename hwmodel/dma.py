"""Memory access by devices, and a DMA engine that copies.

Registers of the engine (offsets in bytes; all are 64 bits and take 8-byte accesses, or a 4-byte one
for either half):

    0x00  SOURCE       read/write  I/O virtual address to copy from
    0x08  DESTINATION  read/write  I/O virtual address to copy to
    0x10  LENGTH       read/write  bytes to copy, up to 16 MiB
    0x18  CONTROL      read/write  bit 0 START (reads 0), bit 1 IRQ (interrupt when done)
    0x20  STATUS       read        bit 0 BUSY, bit 1 DONE, bit 2 ERROR; write 1 to clear DONE, ERROR
    0x28  FAULT        read-only   the address that was refused, if ERROR is set

START copies nothing yet: the whole transfer happens 10 ticks, and one more for each 256 bytes begun,
later. Stores to SOURCE, DESTINATION, LENGTH and START are ignored while BUSY. The copy goes up from
the lowest address in pieces that cross no page on either side, and stops at the first one refused;
pieces before it are copied. A LENGTH too great is refused as a whole, with FAULT 0. The interrupt is
a level and lasts until DONE is cleared.
"""

from collections.abc import Callable

from hwmodel.events import EventQueue
from hwmodel.iommu import TABLE_UNREACHABLE, DmaFault, Iommu
from hwmodel.memory import Memory
from hwmodel.registers import half_of, require_size, with_half
from hwmodel.stateful import Saveable, Stateful

SOURCE, DESTINATION, LENGTH, CONTROL, STATUS, FAULT = range(0x00, 0x30, 8)
START, IRQ_ENABLE = 1, 2
BUSY, DONE, ERROR = 1, 2, 4
MAX_LENGTH = 16 << 20
BASE_TICKS = 10
BYTES_PER_TICK = 256


def transfer_ticks(length: int) -> int:
    """Return how many ticks after START a transfer of `length` bytes happens."""
    return BASE_TICKS + -(-length // BYTES_PER_TICK)


class DmaPort(Stateful):
    """How one device reaches RAM: through an IOMMU, or with physical addresses if there is none.

    `on_write` is called after each store, so that the hart can drop its reservation. `reads` and
    `writes` count the accesses done and `refused` those that were not.
    """

    __slots__ = ("_iommu", "_memory", "_on_write", "_request_id", "reads", "refused", "writes")
    STATE = ("reads", "refused", "writes")

    def __init__(self, memory: Memory, iommu: Iommu | None, request_id: int, on_write: Callable[[], None]) -> None:
        self._memory = memory
        self._iommu = iommu
        self._request_id = request_id
        self._on_write = on_write
        self.reads = self.writes = self.refused = 0

    def read(self, iova: int, size: int) -> bytes:
        """Return bytes that lie within one page. Raises `DmaFault`."""
        data = self._memory.read(self._reach(iova, size, write=False), size)
        self.reads += 1
        return data

    def write(self, iova: int, data: bytes) -> None:
        """Store bytes within one page. Raises `DmaFault`."""
        self._memory.write(self._reach(iova, len(data), write=True), data)
        self.writes += 1
        self._on_write()

    def _reach(self, iova: int, size: int, *, write: bool) -> int:
        try:
            paddr = self._iommu.translate(self._request_id, iova, write) if self._iommu else iova
            if not self._memory.contains(paddr, size):
                raise DmaFault(self._request_id, iova, write=write, reason=TABLE_UNREACHABLE)
        except DmaFault:
            self.refused += 1
            raise
        return paddr


class DmaEngine(Stateful):
    """The engine. `set_irq` drives its wire; its events carry the device's `name`."""

    __slots__ = (
        "_control", "_destination", "_events", "_fault", "_length",
        "_name", "_port", "_set_irq", "_source", "_status",
    )  # fmt: skip
    STATE = ("_control", "_destination", "_fault", "_length", "_source", "_status")

    def __init__(self, name: str, events: EventQueue, set_irq: Callable[[bool], None], port: DmaPort) -> None:
        self._name = name
        self._events = events
        self._set_irq = set_irq
        self._port = port
        self._source = self._destination = self._length = 0
        self._control = self._status = self._fault = 0
        events.connect(name, self._finish)

    def parts(self) -> tuple[Saveable, ...]:
        """Return the way to RAM, for its counters."""
        return (self._port,)

    def read(self, offset: int, size: int) -> int:
        """Read a register (see the table above)."""
        require_size(offset, size, 4, 8)
        return half_of(self._register(offset & ~7), offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register (see the table above)."""
        require_size(offset, size, 4, 8)
        register = offset & ~7
        if register == STATUS:
            self._status &= ~(with_half(0, offset, size, value) & (DONE | ERROR))
        elif register == CONTROL and not offset & 4:
            self._control = value & IRQ_ENABLE
            if value & START and not self._status & BUSY:
                self._start()
        elif not self._status & BUSY:
            self._write_parameter(register, with_half(self._register(register), offset, size, value))
        self._drive_irq()

    def _register(self, register: int) -> int:
        return {
            SOURCE: self._source, DESTINATION: self._destination, LENGTH: self._length,
            CONTROL: self._control, STATUS: self._status, FAULT: self._fault,
        }.get(register, 0)  # fmt: skip

    def _write_parameter(self, register: int, value: int) -> None:
        if register == SOURCE:
            self._source = value
        elif register == DESTINATION:
            self._destination = value
        elif register == LENGTH:
            self._length = value

    def _start(self) -> None:
        self._status = BUSY
        self._fault = 0
        ticks = transfer_ticks(min(self._length, MAX_LENGTH))
        self._events.schedule(self._events.clock.now + ticks, self._name)

    def _finish(self, _code: int) -> None:
        self._status = DONE
        try:
            if self._length > MAX_LENGTH:
                self._status |= ERROR
            else:
                self._copy()
        except DmaFault as fault:
            self._status |= ERROR
            self._fault = fault.iova
        self._drive_irq()

    def _copy(self) -> None:
        source, destination, left = self._source, self._destination, self._length
        while left:
            size = min(left, 0x1000 - (source & 0xFFF), 0x1000 - (destination & 0xFFF))
            self._port.write(destination, self._port.read(source, size))
            source, destination, left = source + size, destination + size, left - size

    def _drive_irq(self) -> None:
        self._set_irq(bool(self._control & IRQ_ENABLE and self._status & DONE))
