"""What the machine's tests share: a writer of Sv39 tables that knows nothing of the walker."""

import pytest

from hwmodel.memory import Memory

RAM_BASE = 0x8000_0000

V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
RW_USER = V | R | W | U | A | D
RX_USER = V | R | X | U | A
TABLE = V


class AddressSpace:
    """Sv39 tables in the first pages of a RAM, taken one after the other from `first_table`."""

    def __init__(self, memory: Memory, first_table: int = RAM_BASE) -> None:
        self.memory = memory
        self.root = first_table
        self._free = first_table + 4096

    def map(self, vaddr: int, paddr: int, flags: int = RW_USER, level: int = 0) -> int:
        """Map a page of 4 KiB, 2 MiB or 1 GiB (level 0, 1, 2); return where its PTE lies."""
        table = self.root
        for upper in range(2, level, -1):
            place = table + 8 * (vaddr >> 12 + 9 * upper & 511)
            pte = self.memory.read_word(place)
            if not pte:
                pte = self._free >> 12 << 10 | TABLE
                self.memory.write_word(place, pte)
                self._free += 4096
            table = pte >> 10 << 12
        place = table + 8 * (vaddr >> 12 + 9 * level & 511)
        self.memory.write_word(place, paddr >> 12 << 10 | flags)
        return place


@pytest.fixture(scope="session")
def address_space() -> type[AddressSpace]:
    return AddressSpace
