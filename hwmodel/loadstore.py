"""The load/store unit: what one U-mode instruction does to memory.

Addresses are virtual, in the MMU's current address space; sizes are in bytes; values are unsigned
numbers of that size (sign extension is the instruction's business). Every fault is raised before
anything was changed.

Plain accesses may be misaligned. One that crosses into a second page faults at the start of that
page if only the second is at fault (as `stval` reports it). An AMO that cannot read its page reports
a load fault and one that can only read it a store fault, as the emulator does that runs our binaries
(the specification reports store faults for both).
"""

from collections.abc import Callable

from hwmodel.bus import Bus
from hwmodel.memory import BusError
from hwmodel.mmu import (
    ACCESS_FAULT_CAUSE,
    FETCH,
    FETCH_MISALIGNED,
    LOAD,
    LOAD_MISALIGNED,
    STORE,
    STORE_MISALIGNED,
    Mmu,
    PageFault,
)
from hwmodel.stateful import Stateful
from hwmodel.sv39 import PTE_D, PTE_R, PTE_W, PTE_X
from hwmodel.tlb import BY_BUS

_VADDR_MASK = (1 << 64) - 1
_HIT_LOAD = BY_BUS | PTE_R
_HIT_STORE = BY_BUS | PTE_W | PTE_D
_IS_STORE = PTE_W | PTE_D
_HIT_FETCH = BY_BUS | PTE_X
_LAST_PARCEL = 0xFFE
_MASKS = {size: (1 << 8 * size) - 1 for size in (1, 2, 4, 8)}


def _unit(view: memoryview, size: int) -> tuple[memoryview, int, int, int]:
    """Return what the hit path needs for one size: the RAM as units of it, the shift from bytes to
    units and from pages to units, and the mask for a value.
    """
    to_unit = size.bit_length() - 1
    return view, to_unit, 12 - to_unit, _MASKS[size]


def _signed(value: int, size: int) -> int:
    return value - (value >> 8 * size - 1 << 8 * size)


AMO_OPERATIONS: dict[str, Callable[[int, int, int], int]] = {
    "swap": lambda old, value, size: value,
    "add": lambda old, value, size: old + value,
    "and": lambda old, value, size: old & value,
    "or": lambda old, value, size: old | value,
    "xor": lambda old, value, size: old ^ value,
    "max": lambda old, value, size: max(old, value, key=lambda item: _signed(item, size)),
    "min": lambda old, value, size: min(old, value, key=lambda item: _signed(item, size)),
    "maxu": lambda old, value, size: max(old, value),
    "minu": lambda old, value, size: min(old, value),
}
"""New value from (old value, operand, size); the A extension's AMO instructions by name."""


class LoadStoreUnit(Stateful):
    """Loads, stores, fetches and atomics through an MMU. State: the LR/SC reservation."""

    __slots__ = ("_bus", "_first_page", "_mmu", "_units", "reservation")
    STATE = ("reservation",)

    def __init__(self, bus: Bus, mmu: Mmu) -> None:
        self._bus = bus
        self._mmu = mmu
        self._first_page = bus.memory.base >> 12
        self._units = {size: _unit(view, size) for size, view in bus.memory.views.items()}
        self.reservation: tuple[int, int] | None = None
        """Address and sign-extended value of the last LR, until it is used or dropped."""

    # Loads and stores

    def load(self, vaddr: int, size: int) -> int:
        """Return the 1, 2, 4 or 8 bytes at `vaddr`. Raises `PageFault`."""
        packed = self._mmu.bank.get(vaddr >> 12, 0)
        if packed & _HIT_LOAD == PTE_R and not vaddr & size - 1:
            view, to_unit, page_units, _ = self._units[size]
            return view[(packed >> 12) - self._first_page << page_units | (vaddr & 0xFFF) >> to_unit]
        return self._load_slowly(vaddr, size, LOAD)

    def store(self, vaddr: int, size: int, value: int) -> None:
        """Store the low 1, 2, 4 or 8 bytes of `value` at `vaddr`. Raises `PageFault`."""
        packed = self._mmu.bank.get(vaddr >> 12, 0)
        if packed & _HIT_STORE == _IS_STORE and not vaddr & size - 1:
            view, to_unit, page_units, mask = self._units[size]
            view[(packed >> 12) - self._first_page << page_units | (vaddr & 0xFFF) >> to_unit] = value & mask
        else:
            self._store_slowly(vaddr, size, value)

    def fetch(self, vaddr: int) -> int:
        """Return the instruction at `vaddr`: 16 bits if compressed, else 32 bits.

        Raises `PageFault`; cause 0 for an odd address, and the second half's own address if only
        that half is at fault.
        """
        if vaddr & 1:
            raise PageFault(FETCH_MISALIGNED, vaddr)
        packed = self._mmu.bank.get(vaddr >> 12, 0)
        offset = vaddr & 0xFFF
        if packed & _HIT_FETCH != PTE_X or offset == _LAST_PARCEL:
            return self._fetch_slowly(vaddr)
        parcels, _, page_units, _ = self._units[2]
        index = (packed >> 12) - self._first_page << page_units | offset >> 1
        low = parcels[index]
        return low if low & 3 != 3 else low | parcels[index + 1] << 16

    # Atomics

    def amo(self, operation: str, vaddr: int, size: int, value: int) -> int:
        """Apply an operation of `AMO_OPERATIONS` to the 4 or 8 bytes at `vaddr`; return the old
        value. Raises `PageFault`; a misaligned address has cause 4, before any translation.
        """
        if vaddr & size - 1:
            raise PageFault(LOAD_MISALIGNED, vaddr)
        self._mmu.resolve(vaddr, LOAD)
        paddr = self._mmu.resolve(vaddr, STORE)
        old = self._bus_read(paddr, size, LOAD, vaddr)
        new = AMO_OPERATIONS[operation](old, value & _MASKS[size], size)
        self._bus_write(paddr, size, new, vaddr)
        return old

    def load_reserved(self, vaddr: int, size: int) -> int:
        """Load the 4 or 8 bytes at `vaddr` and reserve them (LR). Faults as for a load; a
        misaligned address has cause 4.
        """
        if vaddr & size - 1:
            raise PageFault(LOAD_MISALIGNED, vaddr)
        paddr = self._mmu.resolve(vaddr, LOAD)
        value = self._bus_read(paddr, size, LOAD, vaddr)
        self.reservation = vaddr, _signed(value, size) & _VADDR_MASK
        return value

    def store_conditional(self, vaddr: int, size: int, value: int) -> bool:
        """Store if this address is reserved and its bytes are as they were (SC); drop the reservation.

        Returns True if it stored what was wanted. Without a reservation of this very address memory is not
        accessed, so nothing faults; the specification leaves that open, and the emulator that runs our
        binaries does so. With one, faults as for a store.
        """
        held = self.reservation
        if held is None or held[0] != vaddr:
            self.reservation = None
            return False
        if vaddr & size - 1:
            raise PageFault(STORE_MISALIGNED, vaddr)
        paddr = self._mmu.resolve(vaddr, STORE)
        old = self._bus_read(paddr, size, STORE, vaddr)
        self.reservation = None
        if old != held[1] & _MASKS[size]:
            return False
        self._bus_write(paddr, size, value, vaddr)
        return _signed(old, size) & _VADDR_MASK == held[1]

    def clear_reservation(self) -> None:
        """Drop the reservation: another party wrote to memory, or the hart was switched."""
        self.reservation = None

    # The general case

    def _fetch_slowly(self, vaddr: int) -> int:
        low = self._read_part(vaddr, 2, FETCH)
        if low & 3 != 3:
            return low
        return low | self._read_part(vaddr + 2 & _VADDR_MASK, 2, FETCH) << 16

    def _load_slowly(self, vaddr: int, size: int, access: int) -> int:
        first = min(size, 0x1000 - (vaddr & 0xFFF))
        if first == size:
            return self._read_part(vaddr, size, access)
        second_vaddr = vaddr + first & _VADDR_MASK
        self._require_ram(vaddr, first, access)
        self._require_ram(second_vaddr, size - first, access)
        low = self._read_part(vaddr, first, access)
        return low | self._read_part(second_vaddr, size - first, access) << 8 * first

    def _store_slowly(self, vaddr: int, size: int, value: int) -> None:
        value &= _MASKS[size]
        first = min(size, 0x1000 - (vaddr & 0xFFF))
        if first == size:
            self._bus_write(self._mmu.resolve(vaddr, STORE), size, value, vaddr)
            return
        second_vaddr = vaddr + first & _VADDR_MASK
        low_paddr = self._require_ram(vaddr, first, STORE)
        high_paddr = self._require_ram(second_vaddr, size - first, STORE)
        self._bus_write(low_paddr, first, value, vaddr)
        self._bus_write(high_paddr, size - first, value >> 8 * first, second_vaddr)

    def _require_ram(self, vaddr: int, size: int, access: int) -> int:
        """Translate one half of an access that crosses pages; devices do not take such halves."""
        paddr = self._mmu.resolve(vaddr, access)
        if not self._bus.memory.contains(paddr, size):
            raise PageFault(ACCESS_FAULT_CAUSE[access], vaddr)
        return paddr

    def _read_part(self, vaddr: int, size: int, access: int) -> int:
        return self._bus_read(self._mmu.resolve(vaddr, access), size, access, vaddr)

    def _bus_read(self, paddr: int, size: int, access: int, vaddr: int) -> int:
        try:
            return self._bus.read(paddr, size)
        except BusError:
            raise PageFault(ACCESS_FAULT_CAUSE[access], vaddr) from None

    def _bus_write(self, paddr: int, size: int, value: int, vaddr: int) -> None:
        try:
            self._bus.write(paddr, size, value)
        except BusError:
            raise PageFault(ACCESS_FAULT_CAUSE[STORE], vaddr) from None
