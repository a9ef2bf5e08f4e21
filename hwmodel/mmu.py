"""Address translation for U-mode: TLB first, then a walk of the Sv39 tables in RAM.

After the RISC-V privileged specification, section "Virtual Address Translation Process", with Svade:
hardware never sets the A and D bits, it faults. The G bit is not exploited (an entry belongs to the
ASID that it was read for), which the specification permits.
"""

from hwmodel.bus import Bus
from hwmodel.memory import BusError
from hwmodel.stateful import Saved, Stateful
from hwmodel.sv39 import (
    PAGE_SIZES,
    PTE_A,
    PTE_D,
    PTE_R,
    PTE_U,
    PTE_W,
    PTE_X,
    SATP_MODE_SV39,
    make_satp,
    walk,
)
from hwmodel.tlb import BY_BUS as BY_BUS  # the flag of `bank` entries, for users of `bank`
from hwmodel.tlb import LEVEL_SHIFT, SUPERPAGES, Bank, Tlb, entry

LOAD, STORE, FETCH = PTE_R, PTE_W, PTE_X
"""The kinds of access; each is the PTE bit that allows it."""

PAGE_FAULT_CAUSE = {FETCH: 12, LOAD: 13, STORE: 15}
ACCESS_FAULT_CAUSE = {FETCH: 1, LOAD: 5, STORE: 7}
FETCH_MISALIGNED, LOAD_MISALIGNED, STORE_MISALIGNED = 0, 4, 6

_OFFSET_MASKS = tuple(size - 1 for size in PAGE_SIZES)
_PAGE = ~0xFFF
_ASID_MASK = 0xFFFF
_NEEDED = {LOAD: PTE_R, STORE: PTE_W | PTE_D, FETCH: PTE_X}


class PageFault(Exception):
    """A memory access that traps, with no side effect.

    Attributes: `cause`, the RISC-V exception code (12, 13, 15 page faults; 1, 5, 7 access faults;
    0, 4, 6 misaligned addresses); `vaddr`, the virtual address as `stval` would hold it.
    """

    def __init__(self, cause: int, vaddr: int) -> None:
        super().__init__(f"cause {cause} at {vaddr:#x}")
        self.cause = cause
        self.vaddr = vaddr


class Mmu(Stateful):
    """Translates for the address space set last; at first there is none and every access faults.

    `bank` holds the TLB entries of the current address space, for code that has its own hit path.
    """

    __slots__ = ("_asid", "_bus", "_root", "bank", "tlb")
    STATE = ("_asid", "_root")

    def __init__(self, bus: Bus, tlb: Tlb | None = None) -> None:
        self._bus = bus
        self.tlb = tlb or Tlb()
        self._asid = 0
        self._root = 0
        self.bank: Bank = {}

    # The kernel's side

    def set_vspace(self, root_paddr: int, asid: int) -> None:
        """Use the tables at `root_paddr` and the TLB entries of `asid`; root 0: none at all."""
        self._root = root_paddr
        self._asid = asid
        self.bank = self.tlb.bank(asid) if root_paddr else {}

    def flush_all(self) -> None:
        """Make the TLB forget everything."""
        self.tlb.flush_all()

    def flush_asid(self, asid: int) -> None:
        """Make the TLB forget one ASID."""
        self.tlb.flush_asid(asid)

    def flush_page(self, asid: int, vaddr: int) -> None:
        """Make the TLB forget the translations of one address of one ASID."""
        self.tlb.flush_page(asid, vaddr)

    @property
    def satp(self) -> int:
        """The current address space as a `satp` value; 0 if there is none."""
        return make_satp(self._root, self._asid) if self._root else 0

    # Translation

    def translate(self, satp: int, vaddr: int, access: int) -> int:
        """Return the physical address of `vaddr` in the address space that `satp` names.

        `access` is LOAD, STORE or FETCH. The current address space stays. A `satp` whose mode is
        not Sv39 names no address space. Raises `PageFault`.
        """
        before = self._root, self._asid
        sv39 = satp >> 60 == SATP_MODE_SV39
        root = (satp & (1 << 44) - 1) << 12 if sv39 else 0
        self.set_vspace(root, satp >> 44 & _ASID_MASK)
        try:
            return self.resolve(vaddr, access)
        finally:
            self.set_vspace(*before)

    def resolve(self, vaddr: int, access: int) -> int:
        """Return the physical address of `vaddr` in the current address space.

        Raises `PageFault`, by what the TLB says if it knows the page, even where the tables in RAM
        say otherwise by now.
        """
        packed = self.bank.get(vaddr >> 12) or self._find_superpage(vaddr)
        if packed is None:
            packed = self._fill(vaddr, access)
        needed = _NEEDED[access]
        if packed & needed != needed:
            raise PageFault(PAGE_FAULT_CAUSE[access], vaddr)
        mask = _OFFSET_MASKS[packed >> LEVEL_SHIFT & 3]
        return packed & _PAGE | vaddr & mask

    def _find_superpage(self, vaddr: int) -> int | None:
        bank = self.bank
        for shift, level_tag in SUPERPAGES:
            packed = bank.get(vaddr >> shift | level_tag)
            if packed is not None:
                return packed
        return None

    def _fill(self, vaddr: int, access: int) -> int:
        """Walk the tables and cache the leaf found.

        Only leaves that U-mode may use at all (U and A set) are cached.
        """
        try:
            found = walk(self._bus.memory, self._root, vaddr) if self._root else None
        except BusError:
            raise PageFault(ACCESS_FAULT_CAUSE[access], vaddr) from None
        if found is None or found.flags & (PTE_U | PTE_A) != PTE_U | PTE_A:
            raise PageFault(PAGE_FAULT_CAUSE[access], vaddr)
        memory = self._bus.memory
        in_ram = memory.contains(found.paddr, found.size)
        if in_ram and found.flags & PTE_W:
            memory.mark_written(found.paddr, found.size)
        level = PAGE_SIZES.index(found.size)
        packed = entry(found.paddr, level, found.flags, by_bus=not in_ram)
        self.tlb.insert(self.bank, vaddr, packed)
        return packed

    # Saving

    def snapshot(self) -> Saved:
        """Save the current address space and the TLB."""
        return (*super().snapshot(), self.tlb.snapshot())

    def restore(self, saved: Saved) -> None:
        """Go back to a saved state."""
        super().restore(saved[:-1])
        tlb_saved = saved[-1]
        assert isinstance(tlb_saved, tuple)
        self.tlb.restore(tlb_saved)
        self.bank = self.tlb.bank(self._asid) if self._root else {}
