"""The physical address map: RAM and the register windows of devices.

Addresses and sizes are in bytes. What no window covers answers with a `BusError`.
"""

from bisect import bisect_right
from typing import Protocol

from hwmodel.memory import BusError, Memory


class Device(Protocol):
    """A device's registers, as the bus sees them. Offsets are from the start of its window."""

    def read(self, offset: int, size: int) -> int:
        """Return the register at `offset`, accessed with `size` (1, 2, 4 or 8) bytes.

        May have side effects, as real registers do. Raises `BusError`, with the offset as address,
        if the device refuses the size.
        """
        ...

    def write(self, offset: int, size: int, value: int) -> None:
        """Store to the register at `offset`. Errors as for `read`."""
        ...


class Bus:
    """Finds who answers at a physical address."""

    __slots__ = ("_bases", "_windows", "memory")

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._bases: list[int] = []
        self._windows: list[tuple[int, int, Device]] = []

    def attach(self, base: int, size: int, device: Device) -> None:
        """Let `device` answer in `[base, base + size)`. Raises ValueError on an overlap."""
        ram = self.memory
        taken = [(start, length) for start, length, _ in self._windows] + [(ram.base, ram.size)]
        if any(base < start + length and start < base + size for start, length in taken):
            raise ValueError(f"the window at {base:#x} overlaps another")
        position = bisect_right(self._bases, base)
        self._bases.insert(position, base)
        self._windows.insert(position, (base, size, device))

    def read(self, paddr: int, size: int) -> int:
        """Return `size` bytes as an unsigned number. Raises `BusError`."""
        if self.memory.contains(paddr, size):
            return int.from_bytes(self.memory.read(paddr, size), "little")
        base, device = self._find(paddr, size)
        try:
            return device.read(paddr - base, size) & ((1 << 8 * size) - 1)
        except BusError as error:
            raise BusError(paddr, error.reason) from None

    def write(self, paddr: int, size: int, value: int) -> None:
        """Store the low `size` bytes of `value`. Raises `BusError`, and then nothing happened."""
        value &= (1 << 8 * size) - 1
        if self.memory.contains(paddr, size):
            self.memory.write(paddr, value.to_bytes(size, "little"))
            return
        base, device = self._find(paddr, size)
        try:
            device.write(paddr - base, size, value)
        except BusError as error:
            raise BusError(paddr, error.reason) from None

    def _find(self, paddr: int, size: int) -> tuple[int, Device]:
        position = bisect_right(self._bases, paddr) - 1
        if position >= 0:
            base, length, device = self._windows[position]
            if paddr + size <= base + length:
                if paddr % size:
                    raise BusError(paddr, "device registers take aligned accesses only")
                return base, device
        raise BusError(paddr, "nothing answers here")
