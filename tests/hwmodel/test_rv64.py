"""The RV64GC interpreter, held against encodings from the specification and arithmetic written down once more here."""

import math
import struct
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hwmodel.board import MIB, QEMU_VIRT_RISCV64
from hwmodel.cpu import rv64
from hwmodel.cpu.compressed import RESERVED, expand
from hwmodel.cpu.floating import FP_REGISTERS
from hwmodel.cpu.scripted import ScriptedCPU
from hwmodel.cpu.trap import ECALL, EXCEPTION, PAGE_FAULT
from hwmodel.machine import Machine
from hwmodel.mmu import PageFault

CODE, DATA = 0x4000_0000, 0x5000_0000
RAM = 0x8000_0000
CODE_PAGE, DATA_PAGE = RAM + 64 * 4096, RAM + 66 * 4096
NEXT_PC = rv64.NEXT_PC
FLAGS = 1 | 2 | 8 | 16 | 64
WORD = (1 << 64) - 1

words = st.integers(0, WORD) | st.sampled_from((0, 1, WORD, 1 << 63, (1 << 63) - 1, 1 << 31, 0xFFFFFFFF))
imm12 = st.integers(-2048, 2047)


def signed(value, bits=64):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


# A small assembler


def r(funct7, rs2, rs1, funct3, rd, opcode):
    return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode


def i(imm, rs1, funct3, rd, opcode=0x13):
    return (imm & 0xFFF) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode


def s(imm, rs2, rs1, funct3, opcode=0x23):
    return (imm >> 5 & 0x7F) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | (imm & 31) << 7 | opcode


def b(imm, rs2, rs1, funct3):
    bits = lambda high, low: imm >> low & (1 << high - low + 1) - 1  # noqa: E731
    high = bits(12, 12) << 6 | bits(10, 5)
    return high << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | (bits(4, 1) << 1 | bits(11, 11)) << 7 | 0x63


class Bench:
    """A machine with a code page and a data page, behind which nothing is mapped."""

    def __init__(self, space):
        self.machine = Machine(QEMU_VIRT_RISCV64, ram_size=1 * MIB)
        tables = space(self.machine.memory)
        tables.map(CODE, CODE_PAGE, FLAGS)
        tables.map(DATA, DATA_PAGE, 1 | 2 | 4 | 16 | 64 | 128)
        self.machine.set_vspace(tables.root, 1)
        self.reset()

    def reset(self):
        self.x = [0] * 34
        self.fp = [0] * FP_REGISTERS
        self.x[NEXT_PC] = CODE

    def put(self, *insns, at=CODE):
        data = b"".join(insn.to_bytes(2 if insn & 3 != 3 else 4, "little") for insn in insns)
        self.machine.write_bytes(CODE_PAGE + at - CODE, data)

    def step(self, fpu=True):
        return rv64.step(self.machine, self.x, self.fp, fpu_enabled=fpu)

    def do(self, insn, fpu=True, **registers):
        """Execute one instruction on fresh registers (x1=..., f2=...)."""
        self.reset()
        for name, value in registers.items():
            (self.fp if name[0] == "f" else self.x)[int(name[1:])] = value & WORD
        self.put(insn)
        return self.step(fpu)

    def result(self, insn, **registers):
        """What the instruction leaves in x3."""
        assert self.do(insn, **registers) is None
        return self.x[3]


@pytest.fixture(scope="module")
def bench(address_space):
    return Bench(address_space)


# Known encodings


@pytest.mark.parametrize(
    ("parcel", "expansion"),
    [
        (0x4501, i(0, 0, 0, 10)),  # c.li a0, 0
        (0x6700, i(8, 14, 3, 8, 0x03)),  # c.ld s0, 8(a4)
        (0x8082, 0x00008067),  # c.jr ra (ret)
        (0x9002, 0x00100073),  # c.ebreak
        (0x0001, 0x00000013),  # c.nop
        (0x1141, i(-16, 2, 0, 2)),  # c.addi sp, -16
        (0xE406, s(8, 1, 2, 3)),  # c.sdsp ra, 8(sp)
        (0x60A2, i(8, 2, 3, 1, 0x03)),  # c.ldsp ra, 8(sp)
        (0x0800, i(16, 2, 0, 8)),  # c.addi4spn s0, sp, 16
        (0x7179, i(-48, 2, 0, 2)),  # c.addi16sp sp, -48
        (0x872A, r(0, 10, 0, 0, 14, 0x33)),  # c.mv a4, a0
        (0x953E, r(0, 15, 10, 0, 10, 0x33)),  # c.add a0, a5
        (0x8D1D, r(0x20, 15, 10, 0, 10, 0x33)),  # c.sub a0, a5
        (0x2505, i(1, 10, 0, 10, 0x1B)),  # c.addiw a0, 1
        (0x050E, i(3, 10, 1, 10)),  # c.slli a0, 3
        (0x8105, i(1, 10, 5, 10)),  # c.srli a0, 1
        (0x8505, i(0x401, 10, 5, 10)),  # c.srai a0, 1
        (0x8905, i(1, 10, 7, 10)),  # c.andi a0, 1
        (0x6585, 1 << 12 | 11 << 7 | 0x37),  # c.lui a1, 1
        (0xA001, 0x0000006F),  # c.j .
        (0xC101, b(0, 0, 10, 0)),  # c.beqz a0, .
        (0xFD7D, b(-2, 0, 10, 1)),  # c.bnez a0, .-2
        (0x9782, i(0, 15, 0, 1, 0x67)),  # c.jalr a5
        (0x0000, RESERVED),
        (0x2001, RESERVED),  # c.addiw with rd = 0
        (0x6101, RESERVED),  # c.addi16sp with 0
        (0x8002, RESERVED),  # c.jr with rs1 = 0
        (0x4002, RESERVED),  # c.lwsp with rd = 0
        (0x8000, RESERVED),
    ],
)
def test_compressed_instructions_expand(parcel, expansion):
    assert hex(expand(parcel)) == hex(expansion)


def test_every_parcel_expands_to_a_valid_instruction_or_none(bench):
    for parcel in range(1 << 16):
        if parcel & 3 != 3 and expand(parcel):
            bench.reset()
            bench.x[1:32] = [DATA + 0x800] * 31
            trap = rv64.execute(bench.machine, parcel, bench.x, bench.fp, fpu_enabled=True)
            assert trap is None or parcel == 0x9002, hex(parcel)


def test_ret_jumps_and_clears_bit_0(bench):
    assert bench.do(0x00008067, x1=0x1235) is None
    assert bench.x[NEXT_PC] == 0x1234


# Integer arithmetic


def divided(a, c):
    """Quotient and remainder by the specification: towards zero, with its table of special cases."""
    if c == 0:
        return -1, a
    if (a, c) == (-(1 << 63), -1):
        return a, 0
    quotient = abs(a) // abs(c) * (1 if (a < 0) == (c < 0) else -1)
    return quotient, a - quotient * c


SIGNED = {
    (0x00, 0): lambda a, b: a + b, (0x20, 0): lambda a, b: a - b, (0x00, 1): lambda a, b: a * 2 ** (b % 64),
    (0x00, 2): lambda a, b: a < b, (0x00, 3): lambda a, b: a % 2**64 < b % 2**64, (0x00, 4): lambda a, b: a ^ b,
    (0x00, 5): lambda a, b: a % 2**64 // 2 ** (b % 64), (0x20, 5): lambda a, b: a // 2 ** (b % 64),
    (0x00, 6): lambda a, b: a | b, (0x00, 7): lambda a, b: a & b,
    (0x01, 0): lambda a, b: a * b, (0x01, 1): lambda a, b: a * b // 2**64,
    (0x01, 2): lambda a, b: a * (b % 2**64) // 2**64, (0x01, 3): lambda a, b: (a % 2**64) * (b % 2**64) // 2**64,
    (0x01, 4): lambda a, b: divided(a, b)[0], (0x01, 6): lambda a, b: divided(a, b)[1],
    (0x01, 5): lambda a, b: -1 if b == 0 else a % 2**64 // (b % 2**64),
    (0x01, 7): lambda a, b: a if b == 0 else a % 2**64 % (b % 2**64),
}  # fmt: skip
"""OP on signed numbers, by funct7 and funct3."""


@given(words, words, st.sampled_from(sorted(SIGNED)))
def test_register_arithmetic(bench, a, c, which):
    expected = SIGNED[which](signed(a), signed(c)) & WORD
    assert bench.result(r(which[0], 2, 1, which[1], 3, 0x33), x1=a, x2=c) == expected


@given(words, words, st.sampled_from([(0, 0), (0x20, 0), (1, 0), (1, 4), (1, 6)]))
def test_32_bit_signed_arithmetic(bench, a, c, which):
    expected = signed(int(SIGNED[which](signed(a, 32), signed(c, 32))), 32) & WORD
    assert bench.result(r(which[0], 2, 1, which[1], 3, 0x3B), x1=a, x2=c) == expected


@given(words, words)
def test_32_bit_unsigned_arithmetic(bench, a, c):
    low_a, low_c = a % 2**32, c % 2**32
    assert bench.result(r(1, 2, 1, 5, 3, 0x3B), x1=a, x2=c) == signed(low_a // low_c if low_c else -1, 32) & WORD
    assert bench.result(r(1, 2, 1, 7, 3, 0x3B), x1=a, x2=c) == signed(low_a % low_c if low_c else low_a, 32) & WORD
    assert bench.result(r(0, 2, 1, 1, 3, 0x3B), x1=a, x2=c) == signed(low_a << c % 32, 32) & WORD
    assert bench.result(r(0, 2, 1, 5, 3, 0x3B), x1=a, x2=c) == signed(low_a >> c % 32, 32) & WORD
    assert bench.result(r(0x20, 2, 1, 5, 3, 0x3B), x1=a, x2=c) == (signed(a, 32) >> c % 32) & WORD


@given(words, imm12, st.integers(0, 63))
def test_immediate_arithmetic(bench, a, imm, amount):
    for funct3, operation in ((0, SIGNED[0, 0]), (2, SIGNED[0, 2]), (3, SIGNED[0, 3]), (4, SIGNED[0, 4])):
        assert bench.result(i(imm, 1, funct3, 3), x1=a) == int(operation(signed(a), imm)) & WORD
    assert bench.result(i(amount, 1, 1, 3), x1=a) == a << amount & WORD
    assert bench.result(i(amount, 1, 5, 3), x1=a) == a >> amount
    assert bench.result(i(0x400 | amount, 1, 5, 3), x1=a) == signed(a) >> amount & WORD
    assert bench.result(i(imm, 1, 0, 3, 0x1B), x1=a) == signed(a + imm, 32) & WORD


def test_upper_immediates(bench):
    assert bench.result(0x80000 << 12 | 3 << 7 | 0x37) == 0xFFFFFFFF80000000
    assert bench.result(0x00001 << 12 | 3 << 7 | 0x17) == CODE + 0x1000


def test_register_0_stays_0(bench):
    assert bench.do(i(5, 0, 0, 0)) is None
    assert bench.x[0] == 0


# Jumps and branches


@given(words, words, st.integers(-2048, 2047))
def test_branches(bench, a, c, half):
    offset = 2 * half
    conditions = {
        0: a == c, 1: a != c, 4: signed(a) < signed(c), 5: signed(a) >= signed(c), 6: a < c, 7: a >= c,
    }  # fmt: skip
    for funct3, taken in conditions.items():
        assert bench.do(b(offset, 2, 1, funct3), x1=a, x2=c) is None
        assert bench.x[NEXT_PC] == CODE + (offset if taken else 4)


def test_jumps_link_behind_themselves(bench):
    assert bench.result(0x008001EF) == CODE + 4  # jal gp, .+8
    assert bench.x[NEXT_PC] == CODE + 8
    assert bench.result(i(-4, 3, 0, 3, 0x67), x3=0x1001) == CODE + 4  # jalr gp, -4(gp): the target is taken first
    assert bench.x[NEXT_PC] == 0xFFC
    bench.do(0x9782, x15=0x2000)  # c.jalr a5
    assert (bench.x[1], bench.x[NEXT_PC]) == (CODE + 2, 0x2000)


# Memory


@given(words, imm12, st.integers(0, 3))
def test_stores_and_loads(bench, value, offset, log):
    size, base = 1 << log, DATA + 0x800 - offset
    assert bench.do(s(offset, 2, 1, log), x1=base, x2=value) is None
    low = value & (1 << 8 * size) - 1
    assert bench.machine.load(DATA + 0x800, size) == low
    assert bench.result(i(offset, 1, log, 3, 0x03), x1=base) == signed(low, 8 * size) & WORD
    if log < 3:
        assert bench.result(i(offset, 1, log | 4, 3, 0x03), x1=base) == low


@given(words, words, st.sampled_from([2, 3]))
def test_atomics(bench, old, operand, log):
    bits = 8 << log
    a, c = old % 2**bits, operand % 2**bits
    expected = {
        0: a + c, 1: c, 4: a ^ c, 8: a | c, 12: a & c, 16: min(signed(a, bits), signed(c, bits)),
        20: max(signed(a, bits), signed(c, bits)), 24: min(a, c), 28: max(a, c),
    }  # fmt: skip
    for funct5, new in expected.items():
        bench.machine.store(DATA, 1 << log, a)
        assert bench.result(r(funct5 << 2, 2, 1, log, 3, 0x2F), x1=DATA, x2=operand) == signed(a, bits) & WORD
        assert bench.machine.load(DATA, 1 << log) == new % 2**bits


def test_reserved_and_conditional(bench):
    load, store = r(2 << 2, 0, 1, 3, 3, 0x2F), r(3 << 2, 2, 1, 3, 3, 0x2F)
    bench.machine.store(DATA, 8, 42)
    assert bench.result(load, x1=DATA) == 42
    assert bench.result(store, x1=DATA, x2=43) == 0
    assert bench.result(store, x1=DATA, x2=44) == 1
    assert bench.machine.load(DATA, 8) == 43
    assert bench.do(r(2 << 2, 5, 1, 3, 3, 0x2F), x1=DATA) == rv64.ILLEGAL


def test_a_faulting_access_changes_nothing(bench):
    for insn in (i(0, 1, 3, 1, 0x03), s(0, 2, 1, 3), r(0, 2, 1, 3, 1, 0x2F), i(0, 1, 3, 1, 0x07)):
        with pytest.raises(PageFault) as caught:
            bench.do(insn, x1=0x7000, x2=5)
        assert caught.value.vaddr == 0x7000
        assert bench.x[1] == 0x7000
        assert bench.x[NEXT_PC] == bench.x[rv64.RESTART_PC] == CODE


def test_an_instruction_that_crosses_into_an_unmapped_page_faults_at_that_page(bench):
    bench.reset()
    bench.machine.write_bytes(CODE_PAGE + 0xFFE, b"\x13\x00")
    bench.x[NEXT_PC] = CODE + 0xFFE
    with pytest.raises(PageFault) as caught:
        bench.step()
    assert (caught.value.cause, caught.value.vaddr) == (12, CODE + 0x1000)
    bench.machine.write_bytes(CODE_PAGE + 0xFFE, b"\x01\x00")  # c.nop needs no second half
    assert bench.step() is None


# System


def test_system_instructions(bench):
    assert bench.do(0x00000073).kind == ECALL
    assert (bench.x[rv64.RESTART_PC], bench.x[NEXT_PC]) == (CODE, CODE + 4)
    assert bench.do(0x00100073) == (EXCEPTION, 3, 0)
    assert bench.do(0x9002) == (EXCEPTION, 3, 0)
    assert bench.x[NEXT_PC] == CODE
    for fence in (0x0FF0000F, 0x0000100F):
        assert bench.do(fence) is None


@pytest.mark.parametrize(
    "insn",
    [
        0x00000000, 0xFFFFFFFF, 0x10200073, 0x30200073, 0x12000073, 0x10500073, 0x10002573, 0xC0002573,
        0x0000001F, 0x40001013, 0x02007003 | 7 << 12, 0x0000201B, 0x00002063, 0x00001067,
        r(0x40, 2, 1, 0, 3, 0x33), r(0x20, 2, 1, 1, 3, 0x33), r(1, 2, 1, 1, 3, 0x3B), s(0, 1, 2, 4), 0x0000602F,
    ],
)  # fmt: skip
def test_illegal_instructions(bench, insn):
    assert bench.do(insn) == (EXCEPTION, 2, 0)
    assert bench.x[NEXT_PC] == CODE


def test_floating_point_is_illegal_while_it_is_off(bench):
    for insn in (0x02000053, 0xE2008553, 0xF2050053, 0x00302573, 0x2108, i(0, 1, 3, 1, 0x07), s(0, 1, 1, 3, 0x27)):
        assert bench.do(insn, fpu=False, x1=DATA, x10=DATA) == (EXCEPTION, 2, 0)


def test_the_floating_point_csrs_are_parts_of_fcsr(bench):
    csr = lambda number, source, funct3: number << 20 | source << 15 | funct3 << 12 | 3 << 7 | 0x73  # noqa: E731
    assert bench.result(csr(3, 1, 1), x1=0xFFF, f32=0x21) == 0x21
    assert bench.fp[32] == 0xFF
    assert bench.result(csr(2, 3, 5), f32=0x41) == 2
    assert bench.fp[32] == 0x61
    assert bench.result(csr(1, 1, 3), x1=1, f32=0x63) == 3
    assert bench.fp[32] == 0x62


# Floating point


def double(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def single(value):
    return 0xFFFFFFFF << 32 | struct.unpack("<I", struct.pack("<f", value))[0]


DOUBLE_NAN, SINGLE_NAN = 0x7FF8 << 48, 0xFFFFFFFF7FC00000
finite = st.floats(allow_nan=False, allow_infinity=False)
singles = st.floats(allow_nan=False, allow_infinity=False, width=32)


def fp(funct5, fmt, rs2=2, funct3=7, rs1=1, rd=3):
    return r(funct5 << 2 | fmt, rs2, rs1, funct3, rd, 0x53)


@given(finite, finite)
def test_double_arithmetic(bench, a, c):
    for funct5, expected in ((0, a + c), (1, a - c), (2, a * c)):
        assert bench.do(fp(funct5, 1), f1=double(a), f2=double(c)) is None
        assert bench.fp[3] == (DOUBLE_NAN if math.isnan(expected) else double(expected))
    assume(c)
    bench.do(fp(3, 1), f1=double(a), f2=double(c))
    assert bench.fp[3] == double(a / c)


@given(singles, singles)
def test_single_arithmetic_is_boxed_and_rounded(bench, a, c):
    for funct5, exact in ((0, a + c), (1, a - c), (2, a * c)):
        assume(abs(exact) < 3e38)
        assert bench.do(fp(funct5, 0), f1=single(a), f2=single(c)) is None
        assert bench.fp[3] == single(exact)


def test_special_results(bench):
    infinity = double(math.inf)
    for a, c, expected in ((1.0, 0.0, infinity), (1.0, -0.0, infinity | 1 << 63), (0.0, 0.0, DOUBLE_NAN)):
        bench.do(fp(3, 1), f1=double(a), f2=double(c))
        assert bench.fp[3] == expected
    bench.do(fp(0x0B, 1, rs2=0), f1=double(-1.0))
    assert bench.fp[3] == DOUBLE_NAN
    bench.do(fp(0x0B, 1, rs2=0), f1=double(2.0))
    assert bench.fp[3] == double(math.sqrt(2.0))
    bench.do(fp(0, 0), f1=double(1.0), f2=single(1.0))  # not boxed: not a number
    assert bench.fp[3] == SINGLE_NAN
    bench.do(fp(2, 0), f1=single(3e38), f2=single(10.0))
    assert bench.fp[3] == single(math.inf)


def test_minimum_maximum_and_signs(bench):
    for funct3, a, c, expected in (
        (0, double(0.0), double(-0.0), double(-0.0)), (1, double(-0.0), double(0.0), double(0.0)),
        (0, DOUBLE_NAN, double(3.0), double(3.0)), (1, DOUBLE_NAN, DOUBLE_NAN | 5, DOUBLE_NAN),
    ):  # fmt: skip
        bench.do(fp(5, 1, funct3=funct3), f1=a, f2=c)
        assert bench.fp[3] == expected
    for funct3, expected in ((0, -1.0), (1, 1.0), (2, -1.0)):
        bench.do(fp(4, 1, funct3=funct3), f1=double(1.0), f2=double(-2.0))
        assert bench.fp[3] == double(expected)


@given(finite, finite)
def test_comparisons(bench, a, c):
    for funct3, expected in ((0, a <= c), (1, a < c), (2, a == c)):
        assert bench.result(fp(0x14, 1, funct3=funct3), f1=double(a), f2=double(c)) == expected
        assert bench.result(fp(0x14, 1, funct3=funct3), f1=DOUBLE_NAN, f2=double(c)) == 0


@pytest.mark.parametrize(
    ("bits", "number"),
    [
        (double(-math.inf), 0), (double(-1.0), 1), (double(-5e-324), 2), (double(-0.0), 3), (0, 4), (1, 5),
        (double(1.0), 6), (double(math.inf), 7), (0x7FF0000000000001, 8), (DOUBLE_NAN, 9),
    ],
)  # fmt: skip
def test_classes(bench, bits, number):
    assert bench.result(fp(0x1C, 1, rs2=0, funct3=1), f1=bits) == 1 << number


@given(st.floats(allow_nan=False), st.sampled_from([0, 1, 2, 3]))
def test_conversion_to_integers_truncates_and_saturates(bench, value, target):
    low, high = ((-(2**31), 2**31 - 1), (0, 2**32 - 1), (-(2**63), 2**63 - 1), (0, 2**64 - 1))[target]
    exact = math.trunc(value) if math.isfinite(value) else (high if value > 0 else low)
    expected = signed(min(max(exact, low), high), 32 if target < 2 else 64) & WORD
    assert bench.result(fp(0x18, 1, rs2=target, funct3=1), f1=double(value)) == expected


def test_conversion_honours_the_rounding_mode(bench):
    for mode, expected in ((0, 2), (1, 2), (2, 2), (3, 3), (4, 3)):
        assert bench.result(fp(0x18, 1, rs2=2, funct3=mode), f1=double(2.5)) == expected
        assert bench.result(fp(0x18, 1, rs2=2, funct3=7), f1=double(2.5), f32=mode << 5) == expected
    assert bench.do(fp(0x18, 1, rs2=2, funct3=5)) == rv64.ILLEGAL
    assert bench.result(fp(0x18, 1, rs2=2, funct3=1), f1=DOUBLE_NAN) == 2**63 - 1


@given(words)
def test_conversion_from_integers_rounds_once(bench, value):
    bench.do(fp(0x1A, 1, rs2=2), x1=value)
    assert bench.fp[3] == double(float(signed(value)))
    bench.do(fp(0x1A, 0, rs2=3), x1=value)
    # Rounding to 24 bits, ties to even, by integer arithmetic.
    shift = max(value.bit_length() - 24, 0)
    kept, rest = value >> shift, value & (1 << shift) - 1
    half = 1 << shift >> 1
    kept += bool(shift) and (rest > half or (rest == half and kept & 1))
    assert bench.fp[3] == single(float(kept << shift))


def test_moves_and_memory(bench):
    assert bench.result(fp(0x1C, 1, rs2=0, funct3=0), f1=0x123456789ABCDEF0) == 0x123456789ABCDEF0
    assert bench.result(fp(0x1C, 0, rs2=0, funct3=0), f1=0x80000001) == 0xFFFFFFFF80000001
    bench.do(fp(0x1E, 0, rs2=0, funct3=0), x1=0x3F800000)
    assert bench.fp[3] == single(1.0)
    bench.machine.store(DATA, 8, 0x0123456789ABCDEF)
    bench.do(i(0, 1, 2, 3, 0x07), x1=DATA)
    assert bench.fp[3] == 0xFFFFFFFF89ABCDEF
    bench.do(0x2108, x10=DATA)  # c.fld fa0, 0(a0)
    assert bench.fp[10] == 0x0123456789ABCDEF
    bench.do(s(8, 2, 1, 2, 0x27), x1=DATA, f2=single(1.0))
    assert bench.machine.load(DATA + 8, 4) == 0x3F800000
    bench.do(fp(8, 0, rs2=1), f1=double(1.0 + 2**-24))
    assert bench.fp[3] == single(1.0)


@given(singles, singles, singles)
def test_fused_operations_round_once(bench, a, c, d):
    exact = Fraction(a) * Fraction(c) + Fraction(d)
    assume(exact and abs(exact) < 2**1000)
    fields = 4 << 27 | 1 << 25 | 2 << 20 | 1 << 15 | 7 << 12 | 3 << 7
    for opcode, sign, d_sign in ((0x43, 1, 1), (0x47, 1, -1), (0x4B, -1, 1), (0x4F, -1, -1)):
        bench.do(fields | opcode, f1=double(a), f2=double(c), f4=double(d_sign * sign * d))
        assert bench.fp[3] == double(float(sign * exact))


def test_fused_singles_are_rounded_once(bench):
    # The product, 1 + 2^-24, is half way between two singles; the tiny addend decides, though no double can hold it.
    fields = 4 << 27 | 2 << 20 | 1 << 15 | 7 << 12 | 3 << 7 | 0x43
    a, c = 97 / 2**7, 172961 / 2**17
    for tiny, expected in ((2.0**-100, 1 + 2**-23), (-(2.0**-100), 1.0), (0.0, 1.0)):
        bench.do(fields, f1=single(a), f2=single(c), f4=single(tiny))
        assert bench.fp[3] == single(expected)


# Nothing escapes


@given(st.integers(0, 2**32 - 1), words)
def test_any_word_executes_or_traps(bench, insn, value):
    bench.reset()
    bench.x[1:32] = [value] * 31
    fetched = insn if insn & 3 == 3 else insn & 0xFFFF
    try:
        trap = rv64.execute(bench.machine, fetched, bench.x, bench.fp, fpu_enabled=True)
    except PageFault:
        trap = None
    assert trap is None or trap.kind in (ECALL, EXCEPTION)
    assert bench.x[0] == 0
    assert all(0 <= word <= WORD for word in bench.x + bench.fp)


def test_the_scripted_cpu_executes_what_lies_in_memory(bench):
    bench.reset()
    bench.put(0x4501, i(7, 10, 0, 10), 0x6700, 0x00000073)  # c.li a0, 0; addi a0, a0, 7; c.ld s0, 8(a4); ecall
    bench.machine.store(DATA + 8, 8, 99)
    bench.x[14] = DATA
    cpu = ScriptedCPU(bench.machine, {})
    assert cpu.run(bench.x, bench.fp, fpu_enabled=True).kind == ECALL
    assert (bench.x[10], bench.x[8], bench.x[rv64.RESTART_PC]) == (7, 99, CODE + 8)
    bench.x[NEXT_PC] = 0x6000
    assert cpu.run(bench.x, bench.fp, fpu_enabled=True) == (PAGE_FAULT, 12, 0x6000)
