"""Address spaces and I/O spaces as they lie in RAM, read word by word; no cap and no cache is consulted."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from hwmodel.iommu import IoMapping
from hwmodel.machine import Machine
from hwmodel.sv39 import LEVELS, PAGE_SIZES, PTE_R, PTE_V, PTE_W, PTE_X, is_leaf, is_table, pte_paddr

_ZEROS = bytes(4096)
_USER_HALF = 1 << 38
_ADDRESS = ((1 << 52) - 1) & ~0xFFF
"""The address in an entry of a table of the IOMMU."""


class Leaf(NamedTuple):
    """One page-table entry that maps memory; ``entry_paddr`` is where the entry itself lies."""

    vaddr: int
    paddr: int
    size: int
    pte: int
    entry_paddr: int

    @property
    def readable(self) -> bool:
        """Whether the entry allows loads."""
        return bool(self.pte & PTE_R)

    @property
    def writable(self) -> bool:
        """Whether the entry allows stores."""
        return bool(self.pte & PTE_W)

    @property
    def executable(self) -> bool:
        """Whether the entry allows fetches."""
        return bool(self.pte & PTE_X)


class Table(NamedTuple):
    """A page table that was passed on a walk: where it lies and what it covers."""

    paddr: int
    level: int
    vaddr: int


@dataclass
class AddressSpace:
    """All that can be reached under one ASID. ``strange`` are entries that are neither leaf nor table nor empty."""

    asid: int
    root: int
    leaves: dict[int, Leaf]
    tables: list[Table]
    strange: list[int]


@lru_cache(maxsize=4096)
def _entries(content: bytes) -> tuple[tuple[int, int], ...]:
    return tuple((index, pte) for index, pte in enumerate(memoryview(content).cast("Q")) if pte)


def read_table(machine: Machine, paddr: int) -> tuple[tuple[int, int], ...]:
    """(index, entry) of the entries of a table that are not zero; nothing if it lies outside RAM."""
    if not machine.memory.contains(paddr, 4096):
        return ()
    content = machine.memory.read(paddr, 4096)
    return () if content == _ZEROS else _entries(content)


def walk_all(machine: Machine, asid: int, root: int) -> AddressSpace:
    """Walk everything under a root table. A table is entered once at each level, however often it is reached."""
    space = AddressSpace(asid, root, {}, [], [])
    _walk(machine, space, root, LEVELS - 1, 0, set())
    return space


def _walk(
    machine: Machine, space: AddressSpace, table: int, level: int, base: int, entered: set[tuple[int, int]]
) -> None:
    space.tables.append(Table(table, level, base))
    if (table, level) in entered:
        return
    entered.add((table, level))
    size = PAGE_SIZES[level]
    for index, pte in read_table(machine, table):
        vaddr, entry = base + index * size, table + 8 * index
        if level and is_table(pte):
            _walk(machine, space, pte_paddr(pte), level - 1, vaddr, entered)
        elif is_leaf(pte, level):
            canonical = vaddr if vaddr < _USER_HALF else vaddr + (1 << 64) - (1 << 39)
            space.leaves[canonical] = Leaf(canonical, pte_paddr(pte), size, pte, entry)
        elif pte & PTE_V:
            space.strange.append(entry)


def find_leaf(machine: Machine, root: int, vaddr: int) -> tuple[Leaf | None, int]:
    """Walk for one address: the leaf, if there is one, and the level at which the walk ended."""
    table = root
    for level in reversed(range(LEVELS)):
        size = PAGE_SIZES[level]
        entry = table + 8 * (vaddr // size & 511)
        if not machine.memory.contains(entry, 8):
            return None, level
        pte = machine.memory.read_word(entry)
        if level and is_table(pte):
            table = pte_paddr(pte)
        elif is_leaf(pte, level):
            return Leaf(vaddr & -size, pte_paddr(pte), size, pte, entry), level
        else:
            return None, level
    return None, 0


def io_devices(machine: Machine) -> list[int]:
    """The request ids that the IOMMU's root and context tables in RAM give anything to."""
    iommu = machine.iommu
    if iommu is None:
        return []
    found = []
    for bus, entry in read_table(machine, iommu.tables_paddr):
        if entry & 1 and not bus & 1:
            words = read_table(machine, entry & ~0xFFF)
            found += [bus // 2 << 8 | index // 2 for index, word in words if not index & 1 and word & 1]
    return found


def io_mappings(machine: Machine, request_id: int) -> list[IoMapping]:
    """All pages that a device can reach now, by the tables in RAM."""
    return [] if machine.iommu is None else list(machine.iommu.mappings(request_id))


def io_tables(machine: Machine) -> set[int]:
    """Where all tables lie that lead to what devices can reach now."""
    iommu = machine.iommu
    if iommu is None:
        return set()
    found = {iommu.tables_paddr}
    found |= {entry & _ADDRESS for _, entry in read_table(machine, iommu.tables_paddr) if entry & 1}
    for device in io_devices(machine):
        context = iommu.context(device)
        tables = set() if context is None else {context.root_paddr}
        for _ in range(0 if context is None else context.levels):
            found |= tables
            tables = {pte & _ADDRESS for table in tables for _, pte in read_table(machine, table)}
    return found
