"""Running byte strings: the steps are decoded as they are taken, and most go straight to the kernel.

A ``Driver`` is a ``Session`` with a short cut. What happens between two system calls of scripted threads is always the
same: the thread goes back to where it asks for its next step, and then traps. If nothing can come in between (no
interrupt, no fault, no event of a device), the driver lets the same time pass and enters the kernel at once. Else it
goes the whole way; so a program gives the same run either way.
"""

from capkernel.abi import registers as reg
from capkernel.kernel.objects import TCB
from hwmodel.cpu.floating import FP_REGISTERS
from hwmodel.cpu.trap import STOP_ECALL
from hwmodel.sv39 import PTE_X
from hwmodel.tlb import BY_BUS
from specs.fuzz.coverage import Coverage
from specs.fuzz.decoder import Steps
from specs.fuzz.records import Fields
from specs.programs.execute import Session, Watcher
from specs.programs.layout import ASK, CODE, INSN_PC, World
from specs.programs.loading import harmless_number, load_fields

_ECALL = INSN_PC["ecall"]
_BACK = frozenset((ASK + 4, _ECALL + 4))
"""Where a thread is that has one instruction to go until it asks."""
_CODE_PAGE = CODE >> 12
_HIT = BY_BUS | PTE_X


class Driver(Session):
    """Takes a program from bytes. ``coverage`` counts the kinds of kernel entries; without ``trace`` there is none."""

    def __init__(
        self, world: World, data: bytes, watcher: Watcher | None = None, coverage: Coverage | None = None, *,
        trace: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(world, watcher)
        self.steps = self._bytes = Steps(data)
        self._count = len(self._bytes)
        if not trace:
            self.loop.observers.remove(self._record)
        if coverage is not None:
            coverage.attach(self.loop)
        machine = self.machine
        self._mmu, self._timer, self._events = machine.mmu, machine.timer, machine.events
        self._irq_pending = machine.irqchip.pending

    def _until_entry(self) -> str:
        """The short cut if that can be taken, else the whole way."""
        return "entries" if self._short_cut() else super()._until_entry()

    def _short_cut(self) -> bool:
        """Take the next step, if it is a system call, and enter the kernel; false if anything else may come first."""
        done, thread = self.execution, self.state.current
        registers, timer = thread.registers, self._timer
        at = registers[reg.NEXT_IP]
        now = timer.now + (at != ASK)
        if done.taken >= self._count or (at != ASK and at not in _BACK):
            return False
        if self._mmu.bank.get(_CODE_PAGE, 0) & _HIT != PTE_X or now >= timer.deadline or self._irq_pending():
            return False
        upcoming = self._events.next_event()
        fields = self._bytes.fields(done.taken)
        if (upcoming is not None and upcoming <= now) or not isinstance(fields, tuple):
            return False
        if fields[-1] is not None and self.world.threads.get(fields[-1]) is not thread:
            return False
        self._take_call(thread, fields)
        timer.now = now
        self.loop.enter(STOP_ECALL)
        return True

    def _take_call(self, thread: TCB, fields: Fields) -> None:
        """Put a system call before a thread, as far as having trapped."""
        done, registers = self.execution, thread.registers
        done.taken += 1
        done.ran.append(thread.name)
        self._last_step = self.loop.entries
        number = fields[0]
        if thread is self.world.guardian:
            number = harmless_number(number, fields[1], fields[4], fields[7], thread)
        load_fields(self.machine, thread, self.garbage, number, *fields[:-1])
        registers[reg.FAULT_IP], registers[reg.NEXT_IP] = _ECALL, _ECALL + 4
        if thread.fp_registers is None:
            thread.fp_registers = [0] * FP_REGISTERS
