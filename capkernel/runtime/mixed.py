"""Glue for systems of which some programs are Python and some are machine code.

A Python program is machine code that begins with an instruction which no RISC-V processor knows: the custom one of its
image. So a thread runs on the RISC-V CPU unless it has a coroutine that goes on; and an instruction that is illegal
there starts a coroutine if it is an image's.
"""

from capkernel.kernel.objects import TCB
from capkernel.runtime.coroutine import CoroutineGlue
from capkernel.runtime.riscv import RiscvGlue
from hwmodel.cpu.program import Crash, ProgramTable, Resumable
from hwmodel.cpu.trap import EXCEPTION, Trap
from hwmodel.machine import Machine

_ILLEGAL = Trap(EXCEPTION, 2)


class MixedGlue:
    """Runs each thread on the CPU that its code is for. Raises EmulatorError if machine code cannot be run here."""

    def __init__(self, machine: Machine, programs: ProgramTable) -> None:
        self.coroutines = CoroutineGlue(machine, programs)
        self.riscv = RiscvGlue(machine)
        self._is_running = self.coroutines.cpu.is_running

    def run(self, thread: TCB) -> Trap:
        """Run the thread until it traps."""
        if self._is_running(thread.registers):
            return self.coroutines.run(thread)
        trap = self.riscv.run(thread)
        if trap == _ILLEGAL and self.coroutines.cpu.is_at_image(thread.registers):
            return self.coroutines.run(thread)
        return trap

    def program_of(self, thread: TCB) -> Resumable | None:
        """The Python program that runs for a thread; None if none does."""
        return self.coroutines.program_of(thread)

    def forget_space(self, root: int) -> None:
        """Give up the Python programs in an address space that will be no more."""
        self.coroutines.forget_space(root)

    @property
    def live_count(self) -> int:
        """How many Python programs run, or wait."""
        return self.coroutines.live_count

    @property
    def copied(self) -> int:
        """The bytes that Python programs loaded and stored many at a time; what machine code does is not counted."""
        return self.coroutines.copied

    def close(self) -> None:
        """Give up all Python programs; they run no more."""
        self.coroutines.close()

    @property
    def crashes(self) -> list[Crash]:
        """The Python programs that ended, in order."""
        return self.coroutines.crashes
