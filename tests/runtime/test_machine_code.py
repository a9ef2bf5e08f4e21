"""Machine code can be saved and taken back in the middle, unlike Python programs: all of it is registers and memory."""

import struct

import pytest

pytest.importorskip("unicorn", reason="machine code needs the extra [riscv]")

from capkernel.runtime.checkpoint import checkpoint
from capkernel.runtime.machine_code import MachineCodeSystem
from capkernel.runtime.trace import Trace
from capkernel.system.elf import read_program
from hwmodel.cpu.riscv.engine import find_shim
from tests.system.elffiles import BASE, R, Segment, W, X, elf_file

KINDS = [False] if find_shim() is None else [False, True]
PRINT_AND_REWRITE = (
    0xFF40_0893,  # li a7, -12: DebugPutChar
    0x0000_0297,  # auipc t0, 0
    0x0202_A303,  # lw t1, 32(t0): the instruction that is rewritten
    0x0010_03B7,  # lui t2, 0x100: one more to add
    0x0073_0333,  # add t1, t1, t2
    0x0262_A023,  # sw t1, 32(t0)
    0x0000_100F,  # fence.i
    0x0000_0013,  # nop
    0x0000_0013,  # nop
    0x0000_0513,  # li a0, 0; then 1, 2, …
    0x0000_0073,  # ecall
    0xFE1F_F06F,  # j -32
)


@pytest.mark.parametrize("compiled", KINDS)
@pytest.mark.parametrize("at", [1, 2, 7, 50])
def test_from_a_checkpoint_the_same_follows_again(compiled: bool, at: int) -> None:
    """Of a program that rewrites its own code, from a point between two of its system calls."""
    code = struct.pack(f"<{len(PRINT_AND_REWRITE)}I", *PRINT_AND_REWRITE)
    program = read_program(elf_file([Segment(BASE, code, 0x1000, R | W | X)]))
    system = MachineCodeSystem(program, ram=1 << 26, compiled=compiled)
    loop, machine = system.loop, system.machine
    loop.run(max_entries=at)
    system.cpu.cpu.stop_at = system.instructions + 3
    loop.stop_reason = lambda: "here" if system.instructions == system.cpu.cpu.stop_at else None
    assert loop.run() == "here"
    system.cpu.cpu.stop_at = None
    saved = checkpoint(system.state, machine)
    printed = system.state.current.registers[10]
    told = []
    for _ in range(3):
        trace = Trace(loop)
        loop.run(max_entries=30)
        told.append((trace.hash(), system.instructions, machine.now(), machine.digest()))
        assert system.state.current.registers[10] == printed + 30
        loop.before.remove(trace._before)
        loop.observers.remove(trace._after)
        saved.restore(machine)
    assert told[0] == told[1] == told[2]
