"""The machine as the kernel sees it when the units of a long operation take time."""

from capkernel.kernel.state import State
from hwmodel.cpu.trap import Trap
from hwmodel.machine import Machine


class WorkClock:
    """Passes everything on to the machine; only the clock is also driven by the kernel's work.

    The kernel reads the clock once when it is entered, and again at each preemption point of a long operation, when
    ``work_units_per_preemption`` units were done since the last; so much time passes before it is answered.
    """

    def __init__(self, state: State, machine: Machine, work_unit: int) -> None:
        self.state = state
        self.machine = machine
        self.ticks = work_unit * state.config.work_units_per_preemption
        self.in_kernel = False
        self.irq_pending, self.claim_irq = machine.irq_pending, machine.claim_irq
        self.complete_irq, self.mask_irq = machine.complete_irq, machine.mask_irq
        self.set_irq_trigger, self.set_deadline = machine.set_irq_trigger, machine.set_deadline
        self.read_word, self.write_word = machine.read_word, machine.write_word
        self.read_bytes, self.write_bytes, self.clear = machine.read_bytes, machine.write_bytes, machine.clear
        self.set_vspace, self.flush_asid, self.flush_all = machine.set_vspace, machine.flush_asid, machine.flush_all
        self.put_char, self.halt = machine.put_char, machine.halt
        self.iommu_set_context, self.iommu_invalidate = machine.iommu_set_context, machine.iommu_invalidate

    def enter(self, trap: Trap) -> None:
        """The kernel is about to be entered: its first look at the clock costs nothing."""
        self.in_kernel = False

    def now(self) -> int:
        """The clock, in ticks."""
        if self.in_kernel:
            self.machine.advance(self.ticks)
        self.in_kernel = True
        return self.machine.now()
