"""One system call at a time, made by whoever runs, in a world in which nothing takes any time."""

from dataclasses import replace

from capkernel.abi import registers as reg
from capkernel.kernel.errors import SyscallError
from capkernel.kernel.objects import TCB
from capkernel.runtime.loop import Loop
from capkernel.runtime.scripted import ScriptedGlue
from hwmodel.cpu.trap import STOP_ECALL
from specs.programs.layout import CODE_TABLE, INSN_PC
from specs.programs.loading import load_syscall
from specs.programs.model import Layout, Syscall
from specs.programs.worlds import world_of
from specs.structure import Structure, structure


class Direct:
    """A world at rest. ``rewind`` goes back to its start."""

    def __init__(self, layout: Layout) -> None:
        self.world = world_of(replace(layout, syscall_ticks=0, work_unit_ticks=0))
        self.state, self.machine = self.world.state, self.world.machine
        self.rewind()

    def rewind(self) -> None:
        """Go back to the start."""
        self.world.rewind()
        self.loop = Loop(self.state, self.machine, ScriptedGlue(self.machine, CODE_TABLE))

    def load(self, step: Syscall) -> TCB:
        """Put a system call before whoever runs; returns that thread."""
        thread = self.state.current
        load_syscall(self.machine, thread, step)
        thread.registers[reg.FAULT_IP] = INSN_PC["ecall"]
        thread.registers[reg.NEXT_IP] = INSN_PC["ecall"] + 4
        return thread

    def call(self, step: Syscall) -> SyscallError | None:
        """Make a system call; returns the error by which it was refused, if it was."""
        self.load(step)
        before = self.state.refusal
        self.loop.enter(STOP_ECALL)
        after = self.state.refusal
        return after if after is not before and isinstance(after, SyscallError) else None

    def structure(self, caller: TCB) -> Structure:
        """The state as plain data, but for one thread's registers."""
        result = structure(self.state)
        for fields in result.values():
            if fields.get("paddr") == caller.paddr and "registers" in fields:
                fields.pop("registers")
        return result
