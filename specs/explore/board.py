"""The machine that the explorer gives the kernel: real memory, a clock that only it moves, one device line."""

from typing import Any

from hwmodel.machine import Machine as HardwareModel
from specs.programs.layout import IRQ_LINE


class Board:
    """Stands in for ``hwmodel.Machine`` while a system is explored. Times are ticks.

    ``pending_from`` is how many more times the kernel may ask whether an interrupt waits before one does (None: it
    may ask for ever); ``pending`` is the line that then waits. A line that was claimed is silent until it is completed.
    """

    def __init__(self, hardware: HardwareModel, timer_irq: int) -> None:
        self.time = hardware.now()
        self.deadline: int = hardware.timer.deadline
        self.timer_irq = timer_irq
        self.pending = 0
        self.pending_from: int | None = None
        self.claimed = False
        self.masked = False
        self.read_word, self.write_word = hardware.read_word, hardware.write_word
        self.read_bytes, self.write_bytes, self.clear = hardware.read_bytes, hardware.write_bytes, hardware.clear

    @property
    def silent(self) -> bool:
        """Whether the device's line cannot fire now."""
        return self.claimed or self.masked

    def now(self) -> int:
        """The clock."""
        return self.time

    def irq_pending(self) -> bool:
        """Whether an interrupt waits: at a preemption point it is the explorer's choice."""
        if self.pending_from is None:
            return False
        self.pending_from -= 1
        return self.pending_from < 0

    def claim_irq(self) -> int:
        """The line that fired; 0 if none did."""
        line, self.pending, self.pending_from = self.pending, 0, None
        if line == IRQ_LINE:
            self.claimed = True
        return line

    def complete_irq(self, irq: int) -> None:
        """The line may fire again."""
        if irq == IRQ_LINE:
            self.claimed = False

    def mask_irq(self, irq: int, masked: bool) -> None:
        """Hold a line back."""
        if irq == IRQ_LINE:
            self.masked = masked

    def set_deadline(self, tick: int) -> None:
        """When the kernel wants to be woken."""
        self.deadline = tick

    def _nothing(self, *_: Any) -> None:
        """What no state of the protocol depends on: translations, the console, other devices."""

    set_irq_trigger = set_vspace = flush_asid = flush_all = put_char = halt = _nothing
    iommu_set_context = iommu_invalidate = _nothing
