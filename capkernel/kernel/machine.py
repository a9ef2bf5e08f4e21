"""What the kernel asks of, and does to, the machine it runs on. ``hwmodel.machine`` is one; a test may be another."""

from typing import Protocol


class Machine(Protocol):
    """The hardware, as far as a kernel sees it. Addresses are physical bytes, times are ticks."""

    def now(self) -> int:
        """The clock, in ticks. Asked at kernel entry and at preemption points only."""

    def irq_pending(self) -> bool:
        """Whether an enabled interrupt (a device's or the kernel timer's) waits. Asked at preemption points."""

    def claim_irq(self) -> int:
        """Take the interrupt that waits; 0 if none does."""

    def complete_irq(self, irq: int) -> None:
        """Tell the controller that a claimed interrupt was served, so that it can come again."""

    def mask_irq(self, irq: int, masked: bool) -> None:
        """Stop (or again allow) an interrupt line."""

    def set_irq_trigger(self, irq: int, edge: bool) -> None:
        """Make a line edge- or level-triggered."""

    def set_deadline(self, tick: int) -> None:
        """Program the kernel's timer; an earlier deadline is forgotten."""

    def read_word(self, paddr: int) -> int:
        """The 64-bit word of RAM at an aligned address."""

    def write_word(self, paddr: int, value: int) -> None:
        """Store a 64-bit word at an aligned address of RAM."""

    def read_bytes(self, paddr: int, size: int) -> bytes:
        """``size`` bytes of RAM."""

    def write_bytes(self, paddr: int, data: bytes) -> None:
        """Store bytes into RAM."""

    def clear(self, paddr: int, size: int) -> None:
        """Fill RAM with zeros; untouched gigabytes cost nothing."""

    def set_vspace(self, root_paddr: int, asid: int) -> None:
        """Run user code in this address space; root 0 means one in which nothing is mapped."""

    def flush_asid(self, asid: int) -> None:
        """Forget all translations of an address space."""

    def flush_all(self) -> None:
        """Forget all translations (``sfence.vma`` without operands)."""

    def put_char(self, code: int) -> None:
        """Debug console output."""

    def halt(self) -> None:
        """Stop the machine after this kernel entry."""

    def iommu_set_context(self, request_id: int, domain_id: int, root_paddr: int | None, levels: int) -> None:
        """Attach a device to an I/O page table tree; root None detaches it."""

    def iommu_invalidate(self, domain_id: int) -> None:
        """Forget the I/O translations of a domain."""
