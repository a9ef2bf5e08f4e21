"""Glue of the scripted CPU: the thread's registers are the CPU's registers."""

from collections.abc import Mapping

from capkernel.abi.flags import TCB_FPU_DISABLED
from capkernel.kernel.objects import TCB
from hwmodel.cpu.floating import FP_REGISTERS
from hwmodel.cpu.scripted import Insn, ScriptedCPU
from hwmodel.cpu.trap import Trap
from hwmodel.machine import Machine


class ScriptedGlue:
    """Runs threads on a scripted CPU; floating point registers appear when first needed."""

    def __init__(self, machine: Machine, code: Mapping[int, Insn], instruction_ticks: int = 0) -> None:
        self.cpu = ScriptedCPU(machine, code, instruction_ticks)

    def run(self, thread: TCB) -> Trap:
        """Run the thread until it traps."""
        if thread.fp_registers is None:
            thread.fp_registers = [0] * FP_REGISTERS
        return self.cpu.run(thread.registers, thread.fp_registers, fpu_enabled=not thread.flags & TCB_FPU_DISABLED)
