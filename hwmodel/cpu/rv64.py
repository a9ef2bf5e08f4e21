"""A plain interpreter of user-mode RV64GC, one instruction a call: for code that lies in memory.

After the RISC-V unprivileged specification (RV64I, M, A, Zicsr, Zifencei; C in ``compressed``; F and D in ``floating``,
where arithmetic rounds to nearest and raises no flags). Its only CSRs are fcsr, frm and fflags; everything that
user mode may not do is an illegal instruction. ``registers`` is the thread's list of 34 words: x0..x31, the restart pc
[32] and the next pc [33].
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hwmodel.cpu import fields, floating
from hwmodel.cpu.compressed import expand
from hwmodel.cpu.trap import EXCEPTION, STOP_ECALL, Trap
from hwmodel.machine import Machine

RESTART_PC, NEXT_PC = 32, 33
WORD: Final = (1 << 64) - 1
ILLEGAL: Final = Trap(EXCEPTION, 2)
BREAKPOINT: Final = Trap(EXCEPTION, 3)


@dataclass(slots=True)
class Hart:
    """What one instruction works on: memory, registers, and its own length in bytes."""

    machine: Machine
    x: list[int]
    fp: list[int]
    fpu_enabled: bool
    size: int = 4


Operation = Callable[[Hart, int], Trap | None]
"""Executes a 32-bit encoding: None if done, or the trap. May raise ``PageFault``; changes nothing if it traps."""


def step(machine: Machine, registers: list[int], fp: list[int], *, fpu_enabled: bool) -> Trap | None:
    """Fetch and execute the instruction at the next pc, which becomes the restart pc. Raises ``PageFault``."""
    registers[RESTART_PC] = registers[NEXT_PC]
    word = machine.fetch(registers[NEXT_PC] & ~1)
    return execute(machine, word, registers, fp, fpu_enabled=fpu_enabled)


def execute(machine: Machine, word: int, registers: list[int], fp: list[int], *, fpu_enabled: bool) -> Trap | None:
    """Execute the fetched instruction ``word``, 16 or 32 bits; it stands at the next pc, whose bit 0 does not count.

    Returns the trap if it made one; the next pc then still stands at the instruction, except behind an ``ecall``.
    Raises ``PageFault``, likewise without effect.
    """
    hart = Hart(machine, registers, fp, fpu_enabled)
    if word & 3 != 3:
        word, hart.size = expand(word), 2
    opcode = word & 0x7F
    control = _CONTROL.get(opcode)
    if control is not None:
        trap = control(hart, word)
    else:
        trap = _STRAIGHT.get(opcode, _illegal)(hart, word)
        if trap is None or trap is STOP_ECALL:
            registers[NEXT_PC] = _behind(hart)
    registers[0] = 0
    return trap


def needs_fpu(word: int) -> bool:
    """Whether an instruction, of 16 or 32 bits, is illegal unless the FPU is on."""
    if word & 3 != 3:
        word = expand(word)
    opcode = word & 0x7F
    return opcode in _FLOATING or (opcode == 0x73 and fields.funct3(word) & 3 != 0 and word >> 20 in _CSR_FIELDS)


def _illegal(hart: Hart, word: int) -> Trap | None:
    return ILLEGAL


def _sign(value: int, bits: int) -> int:
    """The low ``bits`` of a value as a signed number."""
    value &= (1 << bits) - 1
    return value - (value >> bits - 1 << bits)


def _imm_i(word: int) -> int:
    return _sign(word >> 20, 12)


def _imm_s(word: int) -> int:
    return _sign(word >> 25 << 5 | word >> 7 & 31, 12)


def _imm_b(word: int) -> int:
    return _sign(word >> 31 << 12 | (word >> 7 & 1) << 11 | (word >> 25 & 63) << 5 | (word >> 8 & 15) << 1, 13)


def _imm_u(word: int) -> int:
    return _sign(word & ~0xFFF, 32)


def _imm_j(word: int) -> int:
    return _sign(word >> 31 << 20 | word & 0xFF000 | (word >> 20 & 1) << 11 | (word >> 21 & 0x3FF) << 1, 21)


def _pc(hart: Hart) -> int:
    return hart.x[NEXT_PC] & ~1


def _behind(hart: Hart) -> int:
    return _pc(hart) + hart.size & WORD


# Jumps and branches: they set the next pc themselves


def _jal(hart: Hart, word: int) -> None:
    target = _pc(hart) + _imm_j(word) & WORD
    hart.x[fields.rd(word)] = _behind(hart)
    hart.x[NEXT_PC] = target


def _jalr(hart: Hart, word: int) -> Trap | None:
    if fields.funct3(word):
        return ILLEGAL
    target = hart.x[fields.rs1(word)] + _imm_i(word) & WORD & ~1
    hart.x[fields.rd(word)] = _behind(hart)
    hart.x[NEXT_PC] = target
    return None


_CONDITIONS: dict[int, Callable[[int, int], bool]] = {
    0: lambda a, b: a == b,
    1: lambda a, b: a != b,
    4: lambda a, b: _sign(a, 64) < _sign(b, 64),
    5: lambda a, b: _sign(a, 64) >= _sign(b, 64),
    6: lambda a, b: a < b,
    7: lambda a, b: a >= b,
}
"""beq, bne, blt, bge, bltu, bgeu."""


def _branch(hart: Hart, word: int) -> Trap | None:
    condition = _CONDITIONS.get(fields.funct3(word))
    if condition is None:
        return ILLEGAL
    taken = condition(hart.x[fields.rs1(word)], hart.x[fields.rs2(word)])
    hart.x[NEXT_PC] = _pc(hart) + _imm_b(word) & WORD if taken else _behind(hart)
    return None


# Integer arithmetic: functions of two unsigned words, whose result is cut to 64 bits

_Binary = Callable[[int, int], int]


def _divide(a: int, b: int) -> int:
    """Towards zero; by zero: all ones."""
    if not b:
        return -1
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _remainder(a: int, b: int) -> int:
    return a - b * _divide(a, b) if b else a


_BASE: dict[tuple[int, int], _Binary] = {
    (0x00, 0): lambda a, b: a + b,
    (0x20, 0): lambda a, b: a - b,
    (0x00, 1): lambda a, b: a << (b & 63),
    (0x00, 2): lambda a, b: int(_sign(a, 64) < _sign(b, 64)),
    (0x00, 3): lambda a, b: int(a < b),
    (0x00, 4): lambda a, b: a ^ b,
    (0x00, 5): lambda a, b: a >> (b & 63),
    (0x20, 5): lambda a, b: _sign(a, 64) >> (b & 63),
    (0x00, 6): lambda a, b: a | b,
    (0x00, 7): lambda a, b: a & b,
    (0x01, 0): lambda a, b: a * b,
    (0x01, 1): lambda a, b: _sign(a, 64) * _sign(b, 64) >> 64,
    (0x01, 2): lambda a, b: _sign(a, 64) * b >> 64,
    (0x01, 3): lambda a, b: a * b >> 64,
    (0x01, 4): lambda a, b: _divide(_sign(a, 64), _sign(b, 64)),
    (0x01, 5): _divide,
    (0x01, 6): lambda a, b: _remainder(_sign(a, 64), _sign(b, 64)),
    (0x01, 7): _remainder,
}
"""By funct7 and funct3: OP."""

_BASE_32: dict[tuple[int, int], _Binary] = {
    (0x00, 0): lambda a, b: a + b,
    (0x20, 0): lambda a, b: a - b,
    (0x00, 1): lambda a, b: a << (b & 31),
    (0x00, 5): lambda a, b: (a & 0xFFFFFFFF) >> (b & 31),
    (0x20, 5): lambda a, b: _sign(a, 32) >> (b & 31),
    (0x01, 0): lambda a, b: a * b,
    (0x01, 4): lambda a, b: _divide(_sign(a, 32), _sign(b, 32)),
    (0x01, 5): lambda a, b: _divide(a & 0xFFFFFFFF, b & 0xFFFFFFFF),
    (0x01, 6): lambda a, b: _remainder(_sign(a, 32), _sign(b, 32)),
    (0x01, 7): lambda a, b: _remainder(a & 0xFFFFFFFF, b & 0xFFFFFFFF),
}
"""By funct7 and funct3: OP-32, whose result is the sign-extended low half."""

_SHIFTS = (1, 5)


def _op(hart: Hart, word: int) -> Trap | None:
    operation = _BASE.get((word >> 25, fields.funct3(word)))
    if operation is None:
        return ILLEGAL
    hart.x[fields.rd(word)] = operation(hart.x[fields.rs1(word)], hart.x[fields.rs2(word)]) & WORD
    return None


def _op_32(hart: Hart, word: int) -> Trap | None:
    operation = _BASE_32.get((word >> 25, fields.funct3(word)))
    if operation is None:
        return ILLEGAL
    hart.x[fields.rd(word)] = _sign(operation(hart.x[fields.rs1(word)], hart.x[fields.rs2(word)]), 32) & WORD
    return None


def _op_imm(hart: Hart, word: int) -> Trap | None:
    funct3, operand = fields.funct3(word), _imm_i(word) & WORD
    # A shift amount takes the lowest bit of what is funct7 elsewhere.
    funct7 = word >> 26 << 1 if funct3 in _SHIFTS else 0
    operation = _BASE.get((funct7, funct3))
    if operation is None:
        return ILLEGAL
    hart.x[fields.rd(word)] = operation(hart.x[fields.rs1(word)], operand) & WORD
    return None


def _op_imm_32(hart: Hart, word: int) -> Trap | None:
    funct3 = fields.funct3(word)
    if funct3 != 0 and funct3 not in _SHIFTS:
        return ILLEGAL
    operation = _BASE_32.get((word >> 25 if funct3 else 0, funct3))
    if operation is None:
        return ILLEGAL
    hart.x[fields.rd(word)] = _sign(operation(hart.x[fields.rs1(word)], _imm_i(word)), 32) & WORD
    return None


def _lui(hart: Hart, word: int) -> None:
    hart.x[fields.rd(word)] = _imm_u(word) & WORD


def _auipc(hart: Hart, word: int) -> None:
    hart.x[fields.rd(word)] = _pc(hart) + _imm_u(word) & WORD


# Memory


def _load(hart: Hart, word: int) -> Trap | None:
    funct3 = fields.funct3(word)
    if funct3 == 7:
        return ILLEGAL
    size = 1 << (funct3 & 3)
    value = hart.machine.load(hart.x[fields.rs1(word)] + _imm_i(word) & WORD, size)
    hart.x[fields.rd(word)] = value if funct3 & 4 else _sign(value, 8 * size) & WORD
    return None


def _store(hart: Hart, word: int) -> Trap | None:
    funct3 = fields.funct3(word)
    if funct3 > 3:
        return ILLEGAL
    size = 1 << funct3
    value = hart.x[fields.rs2(word)] & (1 << 8 * size) - 1
    hart.machine.store(hart.x[fields.rs1(word)] + _imm_s(word) & WORD, size, value)
    return None


def _misc_mem(hart: Hart, word: int) -> Trap | None:
    """``fence`` and ``fence.i``: memory is coherent anyway."""
    return None if fields.funct3(word) in (0, 1) else ILLEGAL


_AMO_NAMES = {0: "add", 1: "swap", 4: "xor", 8: "or", 12: "and", 16: "min", 20: "max", 24: "minu", 28: "maxu"}
_LOAD_RESERVED, _STORE_CONDITIONAL = 2, 3


def _atomic(hart: Hart, word: int) -> Trap | None:
    funct3, which = fields.funct3(word), word >> 27
    if funct3 not in (2, 3):
        return ILLEGAL
    size, address, operand = 1 << funct3, hart.x[fields.rs1(word)], hart.x[fields.rs2(word)]
    if which == _STORE_CONDITIONAL:
        stored = hart.machine.store_conditional(address, size, operand & (1 << 8 * size) - 1)
        hart.x[fields.rd(word)] = int(not stored)
        return None
    if which == _LOAD_RESERVED and not fields.rs2(word):
        old = hart.machine.load_reserved(address, size)
    elif which in _AMO_NAMES:
        old = hart.machine.amo(_AMO_NAMES[which], address, size, operand)
    else:
        return ILLEGAL
    hart.x[fields.rd(word)] = _sign(old, 8 * size) & WORD
    return None


# System

_ECALL, _EBREAK = 0x00000073, 0x00100073
_CSR_FIELDS = {1: (0, 0x1F), 2: (5, 0x07), 3: (0, 0xFF)}
"""fflags, frm and fcsr as parts of fcsr: shift and mask."""


def _system(hart: Hart, word: int) -> Trap | None:
    if word == _ECALL:
        return STOP_ECALL
    if word == _EBREAK:
        return BREAKPOINT
    funct3, csr = fields.funct3(word), word >> 20
    if not funct3 & 3 or not hart.fpu_enabled or csr not in _CSR_FIELDS:
        return ILLEGAL
    _access_csr(hart, word, *_CSR_FIELDS[csr])
    return None


def _access_csr(hart: Hart, word: int, shift: int, mask: int) -> None:
    """csrrw, csrrs, csrrc and their immediate forms on a field of fcsr."""
    funct3, source = fields.funct3(word), fields.rs1(word)
    operand = source if funct3 & 4 else hart.x[source]
    fcsr = hart.fp[floating.FCSR]
    old = fcsr >> shift & mask
    new = {1: operand, 2: old | operand, 3: old & ~operand}[funct3 & 3]
    hart.fp[floating.FCSR] = fcsr & ~(mask << shift) | (new & mask) << shift
    hart.x[fields.rd(word)] = old


# Floating point


def _load_fp(hart: Hart, word: int) -> Trap | None:
    size = 1 << fields.funct3(word)
    if size not in (4, 8) or not hart.fpu_enabled:
        return ILLEGAL
    value = hart.machine.load(hart.x[fields.rs1(word)] + _imm_i(word) & WORD, size)
    hart.fp[fields.rd(word)] = value if size == 8 else floating.boxed(value)
    return None


def _store_fp(hart: Hart, word: int) -> Trap | None:
    size = 1 << fields.funct3(word)
    if size not in (4, 8) or not hart.fpu_enabled:
        return ILLEGAL
    value = hart.fp[fields.rs2(word)] & (1 << 8 * size) - 1
    hart.machine.store(hart.x[fields.rs1(word)] + _imm_s(word) & WORD, size, value)
    return None


def _floating(hart: Hart, word: int) -> Trap | None:
    if not hart.fpu_enabled or not floating.execute(word, hart.x, hart.fp):
        return ILLEGAL
    return None


_FLOATING = (0x07, 0x27, 0x43, 0x47, 0x4B, 0x4F, 0x53)
_CONTROL: dict[int, Operation] = {0x63: _branch, 0x67: _jalr, 0x6F: _jal}
_STRAIGHT: dict[int, Operation] = {
    0x03: _load, 0x07: _load_fp, 0x0F: _misc_mem, 0x13: _op_imm, 0x17: _auipc, 0x1B: _op_imm_32,
    0x23: _store, 0x27: _store_fp, 0x2F: _atomic, 0x33: _op, 0x37: _lui, 0x3B: _op_32,
    0x43: _floating, 0x47: _floating, 0x4B: _floating, 0x4F: _floating, 0x53: _floating, 0x73: _system,
}  # fmt: skip
"""By major opcode (bits 6..0)."""
