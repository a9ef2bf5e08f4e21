"""Glue of the RISC-V CPU: the thread's registers are the CPU's registers."""

from capkernel.abi.flags import TCB_FPU_DISABLED
from capkernel.kernel.objects import TCB
from hwmodel.cpu.riscv.cpu import INSTRUCTIONS_PER_TICK, RiscvCPU
from hwmodel.cpu.trap import Trap
from hwmodel.machine import Machine


class RiscvGlue:
    """Runs threads of machine code; floating point registers appear when first used."""

    def __init__(
        self, machine: Machine, instructions_per_tick: int = INSTRUCTIONS_PER_TICK, *, compiled: bool | None = None
    ) -> None:
        self.cpu = RiscvCPU(machine, instructions_per_tick, compiled=compiled)

    def run(self, thread: TCB) -> Trap:
        """Run the thread until it traps."""
        return self.cpu.run(thread, fpu_enabled=not thread.flags & TCB_FPU_DISABLED)
