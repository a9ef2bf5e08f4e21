"""The specification in the kernel's place: it runs on the machine itself, with no kernel behind it.

The kernel's objects are left as puppets: threads whose registers the CPU loads, a CNode that can be looked at. The
specification pulls the strings, and does to the machine what its steps say: words, page tables, timer, interrupts.
"""

from typing import Any

from capkernel.kernel import objects as ko
from capkernel.kernel.caps import KIND, FrameCap
from capkernel.runtime.loop import CPU, Costs, HostHandler, Loop
from capkernel.tools.conform.world import World
from hwmodel.cpu import trap as traps
from hwmodel.cpu.trap import Trap
from hwmodel.machine import Machine
from hwmodel.sv39 import PTE_A, PTE_D, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X
from specs.abstract import Event, Outputs, State, kernel_entry
from specs.abstract import caps as ac
from specs.abstract.caps import CAP_TYPE
from specs.abstract.objects import IPC_BUFFER, PTE, TCB, PagePTE, PageTable
from specs.refinement.abstraction import Abstraction
from specs.refinement.events import event_of

_CLASS_OF = {number: kind for kind, number in KIND.items()}
_ENTRIES = 512
_IRQ = {"complete": "complete_irq", "mask": "mask_irq", "trigger": "set_irq_trigger"}


class LiveAnswers:
    """The machine, asked when the specification asks."""

    def __init__(self, machine: Machine) -> None:
        self.clock, self.irq_pending, self.claim_irq = machine.now, machine.irq_pending, machine.claim_irq


class SpecLoop(Loop):
    """A loop that gives every trap to the specification. ``state`` holds the puppets; ``spec`` is the state.

    Raises ValueError for a machine with an IOMMU, as none of those that were recorded.
    """

    def __init__(
        self, puppets: Any, machine: Machine, cpu: CPU, costs: Costs, on_host: HostHandler | None = None
    ) -> None:
        super().__init__(puppets, machine, cpu, Costs(costs.syscall, 0, costs.interrupt, costs.leave), on_host)
        if machine.iommu is not None:
            raise ValueError("a specification in the kernel's place does not drive an IOMMU")
        abstraction = Abstraction(puppets, machine)
        self.spec: State = abstraction.abstract()
        self._answers = LiveAnswers(machine)
        self._threads = {thread.paddr: thread for thread in abstraction.threads()}
        self.shown: list[ko.CNode] = []
        """CNodes whose caps are to be seen by kind after each entry."""

    def enter(self, trap: Trap) -> None:
        """Let the specification take one step, and do what it says."""
        self.entries += 1
        if trap.kind == traps.INTERRUPTED:
            self.machine.advance(self.costs.interrupt)
            self.machine.interrupt_taken()
        elif self.costs.syscall:
            self.machine.advance(self.costs.syscall)
        before = self.spec
        event: Event = event_of(trap, tuple(self.state.current.registers))
        self.spec, out = kernel_entry(before, event, self._answers, self.machine.read_word)
        self._do(out, before)
        self._pull(before)
        if self.costs.leave:
            self.machine.advance(self.costs.leave)
        self.machine.clear_reservation()

    def _do(self, out: Outputs, before: State) -> None:
        """Do to the machine what a step says."""
        machine = self.machine
        for start, size in out.cleared:
            machine.clear(start, size)
        for paddr, word in out.writes.items():
            machine.write_word(paddr, word)
        self._write_tables(before)
        for name, *args in out.irq:
            getattr(machine, _IRQ[name])(*args)
        for code in out.text:
            machine.put_char(code)
        if out.vspace is not None:
            machine.set_vspace(*out.vspace)
        machine.flush_all()
        if out.deadline is not None:
            machine.set_deadline(out.deadline)
        if out.halted:
            machine.halt()

    def _write_tables(self, before: State) -> None:
        for ptr, item in self.spec.kheap.items():
            if isinstance(item, PageTable) and item is not before.kheap.get(ptr):
                for index in range(_ENTRIES):
                    self.machine.write_word(ptr + 8 * index, _pte_word(item.entries.get(index)))

    def _pull(self, before: State) -> None:
        """Let the puppets show the new state."""
        spec = self.spec
        for ptr, item in spec.kheap.items():
            if isinstance(item, TCB) and ptr >= 0:
                self._show_thread(ptr, item)
        self.state.current = self._threads.get(spec.cur_thread, self.state.idle)
        if spec.caps != before.caps:
            for node in self.shown:
                self._show_slots(node)

    def _show_thread(self, ptr: int, tcb: TCB) -> None:
        thread = self._threads.get(ptr)
        if thread is None:
            thread = self._threads[ptr] = ko.TCB(ptr)
        thread.registers[:] = tcb.context
        thread.flags, thread.ipc_buffer = tcb.flags, tcb.ipc_buffer
        cap = self.spec.caps.get((ptr, IPC_BUFFER))
        thread.buffer_slot.cap = ko.NULL
        if isinstance(cap, ac.FrameCap):
            thread.buffer_slot.cap = FrameCap(cap.ptr, cap.size_bits, cap.rights, cap.is_device)

    def _show_slots(self, node: ko.CNode) -> None:
        for index in range(2**node.radix):
            cap = self.spec.caps.get((node.paddr, index), ac.NULL)
            kind = _CLASS_OF[CAP_TYPE[type(cap)]]
            node.slot(index).cap = object.__new__(kind)


def _pte_word(pte: PTE | None) -> int:
    """An entry as it stands in RAM."""
    if pte is None:
        return 0
    if isinstance(pte, PagePTE):
        rights = PTE_R * pte.read | PTE_W * pte.write | PTE_X * pte.execute
        return pte.paddr >> 12 << 10 | rights | PTE_U | PTE_A | PTE_D | PTE_V
    return pte.table >> 12 << 10 | PTE_V


class StandIn:
    """An observer of replays: when the start state is there, the specification takes the kernel's place."""

    def begin(self, world: World) -> None:
        """Take over."""
        old = world.loop
        loop = SpecLoop(old.state, world.machine, old.cpu, old.costs, old.on_host)
        loop.shown.append(world.test)
        world.loop = loop

    def step(self, record: object) -> None:
        """An operation is about to be carried out: nothing to do."""
