"""The translation look-aside buffer: translations that were read once and are believed since.

Nothing but a flush removes what a changed page table made wrong, as RISC-V allows (privileged
specification, SFENCE.VMA): a kernel that forgets a flush is seen to forget it. The entries of each
address-space identifier (ASID) form a bank of bounded size, in which the oldest makes room.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from hwmodel.stateful import Saved, Stateful
from hwmodel.sv39 import PAGE_SIZES, PTE_FLAGS

Bank = dict[int, int]
"""The entries of one ASID, by `key`; in order of age."""

BY_BUS = 1 << 8
"""Entry flag: the page is not all RAM, its accesses go through the bus."""

LEVEL_SHIFT = 9
"""Bits 10..9 of an entry: the level of the leaf (0: 4 KiB, 1: 2 MiB, 2: 1 GiB)."""

_ENTRY_LOW = 0xFFF
_KEY_LEVEL_SHIFT = 52
SUPERPAGES = tuple((12 + 9 * level, level << _KEY_LEVEL_SHIFT) for level in (1, 2))
"""For each superpage level, what makes its key of an address: shift right, then or."""


class CachedMapping(NamedTuple):
    """One TLB entry, for oracles; the fields mean what they mean in `sv39.Mapping`."""

    asid: int
    vaddr: int
    paddr: int
    size: int
    flags: int


def key(vaddr: int, level: int) -> int:
    """Return the place of a page in a bank. For 4 KiB pages it is the virtual page number."""
    return vaddr >> 12 + 9 * level | level << _KEY_LEVEL_SHIFT


def entry(paddr: int, level: int, flags: int, *, by_bus: bool) -> int:
    """Pack one translation into a number: address in bits 63..12, level, `BY_BUS`, PTE flags."""
    return paddr | level << LEVEL_SHIFT | (BY_BUS if by_bus else 0) | flags


class Tlb(Stateful):
    """At most `max_banks` banks of at most `bank_size` entries; both evict the oldest.

    A CPU model with translations of its own adds itself to `on_flush`: it is called with the ASID that
    is flushed, or None for all. `on_flush_asid` is called when one ASID is flushed as a whole.
    """

    __slots__ = ("_banks", "bank_size", "max_banks", "on_flush", "on_flush_asid")
    STATE = ("_banks",)

    def __init__(self, bank_size: int = 512, max_banks: int = 64) -> None:
        self.bank_size = bank_size
        self.max_banks = max_banks
        self._banks: dict[int, Bank] = {}
        self.on_flush: list[Callable[[int | None], None]] = []
        self.on_flush_asid: list[Callable[[int], None]] = []

    def bank(self, asid: int) -> Bank:
        """Return the bank of `asid`, making an empty one if there is none.

        It stays that ASID's until another call evicts it.
        """
        found = self._banks.get(asid)
        if found is None:
            if len(self._banks) >= self.max_banks:
                del self._banks[next(iter(self._banks))]
            found = self._banks[asid] = {}
        return found

    def insert(self, bank: Bank, vaddr: int, packed: int) -> None:
        """Add an `entry` for the page of `vaddr`."""
        if len(bank) >= self.bank_size:
            del bank[next(iter(bank))]
        bank[key(vaddr, packed >> LEVEL_SHIFT & 3)] = packed

    def flush_all(self) -> None:
        """Forget everything."""
        for bank in self._banks.values():
            bank.clear()
        for tell in self.on_flush:
            tell(None)

    def flush_asid(self, asid: int) -> None:
        """Forget the entries of one ASID."""
        bank = self._banks.get(asid)
        if bank is not None:
            bank.clear()
        for tell in self.on_flush:
            tell(asid)
        for forget in self.on_flush_asid:
            forget(asid)

    def flush_page(self, asid: int, vaddr: int) -> None:
        """Forget the entries of one ASID, of whatever page size, that translate `vaddr`."""
        bank = self._banks.get(asid)
        if bank is not None:
            for level in range(len(PAGE_SIZES)):
                bank.pop(key(vaddr, level), None)
        for tell in self.on_flush:
            tell(asid)

    def restore(self, saved: Saved) -> None:
        """Go back to a saved state; whoever has translations of its own must drop them."""
        super().restore(saved)
        for tell in self.on_flush:
            tell(None)

    def entries(self) -> Iterator[CachedMapping]:
        """Yield all entries, bank by bank, oldest first."""
        for asid, bank in self._banks.items():
            for place, packed in bank.items():
                level = packed >> LEVEL_SHIFT & 3
                vaddr = (place & (1 << _KEY_LEVEL_SHIFT) - 1) << 12 + 9 * level
                paddr, flags = packed & ~_ENTRY_LOW, packed & PTE_FLAGS
                yield CachedMapping(asid, vaddr, paddr, PAGE_SIZES[level], flags)
