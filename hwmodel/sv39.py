"""Sv39 page tables, read from RAM without any TLB.

After the RISC-V privileged specification, section "Sv39: Page-Based 39-bit Virtual-Memory System".
Tables are 512 words of 64 bits; a page-table entry (PTE) holds a physical page number in bits
53..10 and flags in bits 7..0. Bits 63..54 (extensions that this machine lacks) must be zero.

Virtual addresses are 64-bit numbers, sizes are in bytes.
"""

from collections.abc import Iterator
from typing import NamedTuple

from hwmodel.memory import BusError, Memory

PTE_V, PTE_R, PTE_W, PTE_X, PTE_U, PTE_G, PTE_A, PTE_D = (1 << bit for bit in range(8))
PTE_FLAGS = 0xFF
PTE_PPN_SHIFT = 10
PTE_RESERVED = 0x3FF << 54
"""Bits for Svnapot, Svpbmt and later extensions."""

LEVELS = 3
PAGE_SIZES = (1 << 12, 1 << 21, 1 << 30)
"""Size of a leaf's page by level: level 2 is the root table."""

TABLE_SIZE = 4096
SATP_MODE_SV39 = 8

_PPN_MASK = (1 << 44) - 1
_LEAF = PTE_R | PTE_X
_TABLE_FLAGS = PTE_RESERVED | PTE_V | PTE_R | PTE_W | PTE_X | PTE_U | PTE_A | PTE_D
_WALK = ((2, 30), (1, 21), (0, 12))
"""Level and shift of its index in an address, in the order of a walk."""

_VADDR_TOP = 1 << 64
_UPPER_HALF = _VADDR_TOP - (1 << 38)
_LOWER_HALF_END = 1 << 38


class Mapping(NamedTuple):
    """One leaf: the page at `vaddr` of `size` bytes lies at `paddr`; `flags` are PTE bits 7..0."""

    vaddr: int
    paddr: int
    size: int
    flags: int


def make_satp(root_paddr: int, asid: int) -> int:
    """Return the `satp` value for a root table at a 4096-aligned address and an ASID of 16 bits."""
    return SATP_MODE_SV39 << 60 | asid << 44 | root_paddr >> 12


def is_canonical(vaddr: int) -> bool:
    """Say whether bits 63..39 of a 64-bit address all equal bit 38."""
    return 0 <= vaddr < _LOWER_HALF_END or _UPPER_HALF <= vaddr < _VADDR_TOP


def is_table(pte: int) -> bool:
    """Say whether a PTE points to a next-level table."""
    return pte & _TABLE_FLAGS == PTE_V


def is_leaf(pte: int, level: int) -> bool:
    """Say whether a PTE is a well-formed leaf for its level: readable or executable, not the
    reserved "writable but not readable", and a superpage only if naturally aligned.
    """
    if not pte & PTE_V or not pte & _LEAF or pte & PTE_RESERVED:
        return False
    if pte & PTE_W and not pte & PTE_R:
        return False
    return not (pte >> PTE_PPN_SHIFT) & ((1 << 9 * level) - 1)


def pte_paddr(pte: int) -> int:
    """Return the physical address that a PTE holds."""
    return (pte >> PTE_PPN_SHIFT & _PPN_MASK) << 12


def walk(memory: Memory, root_paddr: int, vaddr: int) -> Mapping | None:
    """Return the leaf that maps `vaddr`, or None if the address is not mapped.

    Any well-formed leaf counts; whether its flags allow an access is for the caller to judge.
    Raises `BusError` if a table lies outside RAM.
    """
    if not is_canonical(vaddr):
        return None
    read_word, table = memory.read_word, root_paddr
    for level, shift in _WALK:
        pte = read_word(table | (vaddr >> shift & 511) << 3)
        if pte & _TABLE_FLAGS == PTE_V:
            table = pte_paddr(pte)
        elif is_leaf(pte, level):
            size = PAGE_SIZES[level]
            return Mapping(vaddr & -size, pte_paddr(pte), size, pte & PTE_FLAGS)
        else:
            return None
    return None


def mappings(memory: Memory, root_paddr: int) -> Iterator[Mapping]:
    """Yield every well-formed leaf under a root table, by ascending index (so the lower half of
    the address space first). Tables that lie outside RAM map nothing.
    """
    yield from _mappings_below(memory, root_paddr, LEVELS - 1, 0)


def _mappings_below(memory: Memory, table: int, level: int, base: int) -> Iterator[Mapping]:
    size = PAGE_SIZES[level]
    for index, pte in _used_entries(memory, table):
        vaddr = base + index * size
        if is_leaf(pte, level):
            canonical = vaddr if vaddr < _LOWER_HALF_END else vaddr + _VADDR_TOP - (1 << 39)
            yield Mapping(canonical, pte_paddr(pte), size, pte & PTE_FLAGS)
        elif level and is_table(pte):
            yield from _mappings_below(memory, pte_paddr(pte), level - 1, vaddr)


def _used_entries(memory: Memory, table: int) -> list[tuple[int, int]]:
    try:
        content = memory.read(table, TABLE_SIZE)
    except BusError:
        return []
    return [(index, pte) for index, pte in enumerate(memoryview(content).cast("Q")) if pte]
