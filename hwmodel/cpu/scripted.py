"""The scripted CPU: a few RISC-V-like instructions as plain data, at virtual addresses.

It keeps no state of its own: all of it is the thread's registers, so a run can be copied at any point. The code is a
table from address to instruction that all address spaces share, but an address must be mapped for execution where it
is run. Elsewhere it executes what lies in memory, as ``rv64`` does.

``registers`` is the thread's list of 34 words: x0..x31, the restart pc [32] and the next pc [33].
"""

import struct
from collections.abc import Mapping
from typing import NamedTuple

from hwmodel.cpu import rv64
from hwmodel.cpu.trap import EXCEPTION, FETCH_CAUSES, HOST, STOP_ECALL, STOP_INTERRUPTED, Trap, access_trap
from hwmodel.machine import Machine
from hwmodel.mmu import PageFault

RA, A0, A1, A2, T6 = 1, 10, 11, 12, 31
RESTART_PC, NEXT_PC = 32, 33
WORD = (1 << 64) - 1
ILLEGAL_INSTRUCTION, BREAKPOINT = 2, 3


class Insn(NamedTuple):
    """One instruction: what it does, and its operands.

    | op      | effect                                                                    |
    |---------|---------------------------------------------------------------------------|
    | nop     | nothing                                                                   |
    | set     | load the (register, word) pairs of ``values``                             |
    | load    | ``size`` bytes at the address in a1 into a0, zero extended                 |
    | store   | the low ``size`` bytes of a0 to the address in a1                          |
    | jump    | to the address in a1; ra becomes the address behind this instruction      |
    | goto    | to the address ``size``                                                   |
    | ecall   | a system call                                                             |
    | trap    | an exception with the cause ``size``                                      |
    | fp      | ``name``: fadd, fmvxd, fmvdx or csrf; illegal when the FPU is off         |
    | lr      | load-reserve ``size`` bytes at the address in a1 into a0                   |
    | amoadd  | add a2 to the ``size`` bytes at the address in a1; the old value into a0   |
    | compute | until register t6, a number of ticks, has counted down to 0               |
    | host    | stop and tell the driver the number ``size``                              |
    """

    op: str
    size: int = 0
    values: tuple[tuple[int, int], ...] = ()
    name: str = ""


class ScriptedCPU:
    """Runs ``code`` on a machine; ``instruction_ticks`` is what each instruction costs."""

    def __init__(self, machine: Machine, code: Mapping[int, Insn], instruction_ticks: int = 0) -> None:
        self.machine = machine
        self.code = code
        self.instruction_ticks = instruction_ticks

    def run(self, registers: list[int], fp: list[int], *, fpu_enabled: bool) -> Trap:
        """Run until a trap, or until the machine's next event is due."""
        machine = self.machine
        while not machine.must_stop():
            pc = registers[RESTART_PC] = registers[NEXT_PC]
            try:
                # As on the reference emulator, an odd pc (which only a kernel can set) is reported as it is.
                word = machine.fetch(pc & ~1)
                insn = self.code.get(pc)
                if insn is not None:
                    trap = _HANDLERS[insn.op](self, insn, registers, fp, fpu_enabled)
                else:
                    trap = rv64.execute(machine, word, registers, fp, fpu_enabled=fpu_enabled)
            except PageFault as fault:
                return access_trap(fault.cause, pc if fault.cause in FETCH_CAUSES and pc & 1 else fault.vaddr)
            if trap is not None:
                return trap
            if self.instruction_ticks:
                machine.advance(self.instruction_ticks)
        return STOP_INTERRUPTED

    def _nop(self, insn: Insn, x: list[int], fp: list[int], fpu: bool) -> Trap | None:
        x[NEXT_PC] += 4
        return None

    def _set(self, insn: Insn, x: list[int], fp: list[int], fpu: bool) -> Trap | None:
        for register, word in insn.values:
            x[register] = word
        x[NEXT_PC] += 4
        return None

    def _load(self, insn: Insn, x: list[int], fp: list[int], fpu: bool) -> Trap | None:
        x[A0] = self.machine.load(x[A1], insn.size)
        x[NEXT_PC] += 4
        return None

    def _store(self, insn: Insn, x: list[int], fp: list[int], fpu: bool) -> Trap | None:
        self.machine.store(x[A1], insn.size, x[A0] & (1 << 8 * insn.size) - 1)
        x[NEXT_PC] += 4
        return None

    def _jump(self, insn: Insn, x: list[int], fp: list[int], fpu: bool) -> Trap | None:
        x[RA] = x[NEXT_PC] + 4
        x[NEXT_PC] = x[A1] & ~1
        return None

    def _goto(self, insn: Insn, x: list[int], fp: list[int], fpu: bool) -> Trap | None:
        x[NEXT_PC] = insn.size
        return None

    def _ecall(self, insn: Insn, x: list[int], fp: list[int], fpu: bool) -> Trap | None:
        x[NEXT_PC] += 4
        return STOP_ECALL

    def _trap(self, insn: Insn, x: list[int], fp: list[int], fpu: bool) -> Trap | None:
        return Trap(EXCEPTION, insn.size)

    def _fp(self, insn: Insn, x: list[int], fp: list[int], fpu: bool) -> Trap | None:
        if not fpu:
            return Trap(EXCEPTION, ILLEGAL_INSTRUCTION)
        match insn.name:
            case "fadd":
                fp[1] = _double_bits(_double(fp[1]) + _double(fp[1]))
            case "fmvxd":
                x[A0] = fp[1]
            case "fmvdx":
                fp[1] = x[A0]
            case _:
                x[A0] = fp[32]
        x[NEXT_PC] += 4
        return None

    def _lr(self, insn: Insn, x: list[int], fp: list[int], fpu: bool) -> Trap | None:
        word = self.machine.load_reserved(x[A1], insn.size)
        sign = 1 << 8 * insn.size - 1
        x[A0] = ((word & sign - 1) - (word & sign)) & WORD
        x[NEXT_PC] += 4
        return None

    def _amoadd(self, insn: Insn, x: list[int], fp: list[int], fpu: bool) -> Trap | None:
        x[A0] = self.machine.amo("add", x[A1], insn.size, x[A2])
        x[NEXT_PC] += 4
        return None

    def _compute(self, insn: Insn, x: list[int], fp: list[int], fpu: bool) -> Trap | None:
        ticks = min(x[T6], self.machine.next_stop() - self.machine.now())
        self.machine.advance(ticks)
        x[T6] -= ticks
        if x[T6] == 0:
            x[NEXT_PC] += 4
        return None

    def _host(self, insn: Insn, x: list[int], fp: list[int], fpu: bool) -> Trap | None:
        x[NEXT_PC] += 4
        return Trap(HOST, 0, insn.size)


def _double(bits: int) -> float:
    return float(struct.unpack("<d", bits.to_bytes(8, "little"))[0])


def _double_bits(value: float) -> int:
    bits = int.from_bytes(struct.pack("<d", value), "little")
    # RISC-V results that are not a number are always the canonical one.
    return 0x7FF8000000000000 if value != value else bits


_HANDLERS = {
    "nop": ScriptedCPU._nop, "set": ScriptedCPU._set, "load": ScriptedCPU._load, "store": ScriptedCPU._store,
    "jump": ScriptedCPU._jump, "goto": ScriptedCPU._goto, "ecall": ScriptedCPU._ecall,
    "trap": ScriptedCPU._trap, "fp": ScriptedCPU._fp, "lr": ScriptedCPU._lr, "amoadd": ScriptedCPU._amoadd,
    "compute": ScriptedCPU._compute, "host": ScriptedCPU._host,
}  # fmt: skip
