"""Glue of the coroutine CPU: the thread's registers are the CPU's registers."""

from capkernel.kernel.objects import TCB
from hwmodel.cpu.coroutine import CoroutineCPU
from hwmodel.cpu.program import Crash, ProgramTable, Resumable
from hwmodel.cpu.trap import Trap
from hwmodel.machine import Machine


class CoroutineGlue:
    """Runs threads on a coroutine CPU."""

    def __init__(self, machine: Machine, programs: ProgramTable, access_ticks: int = 1) -> None:
        self.cpu = CoroutineCPU(machine, programs, access_ticks)
        self._run = self.cpu.run

    def run(self, thread: TCB) -> Trap:
        """Run the thread until it traps."""
        return self._run(thread.registers)

    def program_of(self, thread: TCB) -> Resumable | None:
        """What runs for a thread, to be looked at; None if nothing does."""
        return self.cpu.program_of(thread.registers)

    def forget_space(self, root: int) -> None:
        """Give up all programs in an address space that will be no more, by the address of its root page table."""
        self.cpu.forget_space(root)

    @property
    def live_count(self) -> int:
        """How many programs run, or wait."""
        return self.cpu.live_count

    @property
    def copied(self) -> int:
        """The bytes that programs loaded and stored many at a time."""
        return self.cpu.copied

    def close(self) -> None:
        """Give up all programs; the CPU runs nothing any more."""
        self.cpu.close()

    @property
    def crashes(self) -> list[Crash]:
        """The programs that ended, in order."""
        return self.cpu.crashes
