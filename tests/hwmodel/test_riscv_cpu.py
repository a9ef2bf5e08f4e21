"""The RISC-V CPU, both kinds of engine, held against the plain interpreter and against what the hart promises.

The interpreter itself is held against the specification in ``test_rv64``.
"""

import os
import random
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("unicorn", reason="machine code needs the extra [riscv]")

from hwmodel.board import MIB, QEMU_VIRT_RISCV64
from hwmodel.cpu import rv64
from hwmodel.cpu.riscv import emulator as emulator_module
from hwmodel.cpu.riscv import engine as engine_module
from hwmodel.cpu.riscv.cpu import RiscvCPU
from hwmodel.cpu.riscv.engine import CompiledEngine, find_shim
from hwmodel.cpu.trap import ECALL, EXCEPTION, INTERRUPTED, PAGE_FAULT, access_trap
from hwmodel.machine import Machine
from hwmodel.mmu import PageFault

CODE, DATA, MORE, DEVICE = 0x4000_0000, 0x5000_0000, 0x5000_1000, 0x6000_0000
RAM = 0x8000_0000
CODE_PAGE, DATA_PAGE, MORE_PAGE, OTHER_PAGE = (RAM + n * 4096 for n in (64, 66, 67, 68))
V, R, W, X, U, A, D = 1, 2, 4, 8, 16, 64, 128
READ, WRITE, EXECUTE = V | R | U | A | D, V | R | W | U | A | D, V | R | X | U | A | D
RESTART_PC, NEXT_PC = 32, 33
WORD = (1 << 64) - 1
ECALL_WORD, FENCE_I, NOP, SELF_JUMP = 0x73, 0x100F, 0x13, 0x6F


@dataclass
class Thread:
    registers: list[int] = field(default_factory=lambda: [0] * 32 + [CODE, CODE])
    fp_registers: list[int] | None = None


def kinds():
    yield pytest.param(False, id="plain")
    no_shim = pytest.mark.skipif(find_shim() is None, reason="NOT RUN: the compiled shim was not built here")
    yield pytest.param(True, id="compiled", marks=no_shim)


@pytest.fixture(params=kinds())
def compiled(request):
    return request.param


class Bench:
    """A machine with a code page, two data pages and a device page, and a CPU on it."""

    def __init__(self, space, compiled, per_tick=10, max_engines=16):
        self.machine = Machine(QEMU_VIRT_RISCV64, ram_size=2 * MIB)
        self.space = space
        self.tables = self.new_space()
        self.machine.set_vspace(self.tables.root, 1)
        self.cpu = RiscvCPU(self.machine, per_tick, max_engines, compiled=compiled)
        self.thread = Thread()

    def new_space(self, first_table=RAM, code=CODE_PAGE):
        tables = self.space(self.machine.memory, first_table)
        tables.map(CODE, code, EXECUTE | W)
        tables.map(DATA, DATA_PAGE, WRITE)
        tables.map(MORE, MORE_PAGE, READ)
        tables.map(DEVICE, QEMU_VIRT_RISCV64.device("uart0").region.base, WRITE)
        return tables

    def put(self, *insns, at=CODE_PAGE):
        self.machine.write_bytes(at, assemble(*insns))

    def run(self, pc=CODE, fpu=True, **registers):
        """Run a fresh thread whose x registers are set by name."""
        self.thread = Thread()
        self.thread.registers[NEXT_PC] = pc
        for name, value in registers.items():
            self.thread.registers[int(name[1:])] = value
        return self.go_on(fpu)

    def go_on(self, fpu=True):
        return self.cpu.run(self.thread, fpu_enabled=fpu)

    def x(self, number):
        return self.thread.registers[number]


@pytest.fixture
def bench(address_space, compiled):
    return Bench(address_space, compiled)


def assemble(*insns):
    return b"".join(insn.to_bytes(2 if insn & 3 != 3 else 4, "little") for insn in insns)


def addi(rd, rs, imm):
    return (imm & 0xFFF) << 20 | rs << 15 | rd << 7 | 0x13


def load(rd, rs, imm=0, funct3=3):
    return (imm & 0xFFF) << 20 | rs << 15 | funct3 << 12 | rd << 7 | 0x03


def store(rs2, rs1, imm=0, funct3=3):
    return (imm >> 5 & 0x7F) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | (imm & 31) << 7 | 0x23


def jump(offset):
    bits = lambda high, low: offset >> low & (1 << high - low + 1) - 1  # noqa: E731
    return bits(20, 20) << 31 | bits(10, 1) << 21 | bits(11, 11) << 20 | bits(19, 12) << 12 | 0x6F


def jalr(rd, rs):
    return rs << 15 | rd << 7 | 0x67


def csrr(rd, csr):
    return csr << 20 | 2 << 12 | rd << 7 | 0x73


LR, SC = 0x1005_352F, 0x18B5_362F
"""lr.d a0, (a0) and sc.d a2, a1, (a0)."""
FADD, FDIV, FMV_X_D, FMV_D_X = 0x02A5_7553, 0x1AB5_7553, 0xE205_0553, 0xF205_0553
"""fadd.d fa0, fa0, fa0; fdiv.d fa0, fa0, fa1; fmv.x.d a0, fa0; fmv.d.x fa0, a0."""
FRCSR, C_FLD = csrr(10, 3), 0x2108


# Against the interpreter


def interpret(bench, limit):
    """What the hart should do, an instruction at a time; returns the trap and the instructions, a trap being one."""
    thread, machine = bench.thread, bench.machine
    x = thread.registers
    for count in range(limit):
        try:
            x[RESTART_PC] = x[NEXT_PC]
            word = machine.fetch(x[NEXT_PC])
            trap = rv64.execute(machine, word, x, [0] * 33, fpu_enabled=False)
        except PageFault as fault:
            return access_trap(fault.cause, fault.vaddr), count + 1
        if trap is not None:
            return trap, count + 1
    x[RESTART_PC] = x[NEXT_PC]
    return None, limit


EXAMPLES = int(os.environ.get("CAPKERNEL_CAMPAIGN", "0")) * 10 or 150
registers = st.sampled_from((0, 5, 6, 7, 8, 9, 10, 11, 12))
valid = st.one_of(
    st.builds(addi, registers, registers, st.integers(-2048, 2047)),
    st.builds(load, registers, st.just(8), st.integers(-64, 4100), st.sampled_from(range(7))),
    st.builds(store, registers, st.just(8), st.integers(-64, 2047), st.sampled_from(range(4))),
    st.builds(lambda n: jump(2 * n), st.integers(-40, 40)),
    st.builds(
        lambda f7, b, a, f3, d, op: f7 << 25 | b << 20 | a << 15 | f3 << 12 | d << 7 | op,
        st.sampled_from((0, 1, 0x20)), registers, registers, st.integers(0, 7), registers,
        st.sampled_from((0x33, 0x3B)),
    ),
    st.builds(
        lambda op, b, size, d: op << 27 | b << 20 | 9 << 15 | size << 12 | d << 7 | 0x2F,
        st.sampled_from((0, 1, 4, 8, 12, 16, 20, 24, 28)), registers, st.sampled_from((2, 3)), registers,
    ),
    st.builds(
        lambda op, b, d: op << 27 | (b if op == 3 else 0) << 20 | 9 << 15 | 3 << 12 | d << 7 | 0x2F,
        st.sampled_from((2, 3)), registers, registers,
    ),
    st.builds(
        lambda offset, b, a, f3: (offset & 0x1E) << 7 | b << 20 | a << 15 | f3 << 12 | 0x63,
        st.integers(0, 15).map(lambda n: 2 * n), registers, registers, st.sampled_from((0, 1, 4, 5, 6, 7)),
    ),
    st.integers(0, 0xFFFF).filter(lambda word: word & 3 != 3),
    st.integers(0, 0xFFFF_FFFF).map(lambda word: word | 3).filter(lambda word: word & 0x7F not in (0x07, 0x27, 0x53)),
    st.just(ECALL_WORD),
)  # fmt: skip
FP_OPCODES = (0x07, 0x27, 0x43, 0x47, 0x4B, 0x4F, 0x53)


def uses_fpu(code):
    """Whether a program could reach floating point, where the interpreter is no judge: it sets no flags."""
    words = [int.from_bytes(code[n : n + 4], "little") for n in range(0, len(code) - 1, 2)]
    compressed = (word & 0xE003 in (0x2000, 0xA000, 0x2002, 0xA002) for word in words)
    return any(compressed) or any(word & 0x7F in FP_OPCODES for word in words)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(valid, min_size=1, max_size=24), st.integers(1, 60), st.lists(st.integers(0, WORD), min_size=8))
def test_random_code_does_what_the_interpreter_says(benches, insns, limit, values):
    code = assemble(*insns)
    if uses_fpu(code):
        return
    told = []
    for bench in benches:
        memory = bench.machine
        for page in (CODE_PAGE, DATA_PAGE, MORE_PAGE):
            memory.clear(page, 4096)
        memory.write_bytes(CODE_PAGE, code)
        thread = bench.thread = Thread()
        thread.registers[5:8], thread.registers[10:13] = values[:3], values[3:6]
        thread.registers[8], thread.registers[9] = DATA, DATA + 8 * (values[6] & 63)
        memory.clear_reservation()
        if bench.cpu is None:
            trap, count = interpret(bench, limit)
        else:
            bench.cpu._retired.count, bench.cpu.stop_at = 0, limit
            trap = bench.go_on()
            count = bench.cpu.instructions
            trap = None if trap.kind == INTERRUPTED else trap
        told.append((trap, count, thread.registers, memory.read_bytes(DATA_PAGE, 8192)))
    for other in told[1:]:
        assert other == told[0]


@pytest.fixture(scope="module")
def benches(address_space):
    """The interpreter's machine, and one for each kind of engine."""
    made = [Bench(address_space, kind) for kind in (False, True) if not kind or find_shim()]
    judge = Bench(address_space, False)
    judge.cpu = None
    return [judge, *made]


# Exact time


def test_a_run_stops_after_exactly_the_wanted_number_of_instructions(bench):
    bench.put(*[addi(5, 5, 1)] * 40, jump(-160))
    for wanted in (1, 2, 3, 39, 40, 41, 42, 81, 82, 1000):
        bench.cpu.stop_at = bench.cpu.instructions + wanted
        assert bench.run().kind == INTERRUPTED
        loops, rest = divmod(wanted, 41)
        assert bench.x(5) == loops * 40 + min(rest, 40)


def test_time_passes_by_instructions_and_stops_at_the_deadline(bench):
    bench.put(addi(5, 5, 1), jump(-4))
    bench.machine.set_deadline(100)
    assert bench.run().kind == INTERRUPTED
    assert bench.machine.now() == 100
    assert bench.cpu.instructions == 1000
    assert bench.x(5) == 500


def test_instructions_short_of_a_tick_are_not_lost(bench):
    bench.put(addi(5, 5, 1), ECALL_WORD, jump(-8))
    bench.run()
    for _ in range(99):
        bench.go_on()
    assert bench.cpu.instructions == 2 + 99 * 3
    assert bench.machine.now() == (2 + 99 * 3) // 10


@pytest.mark.parametrize("last", [load(5, 0), 0xFFFF_FFFF, 0, ECALL_WORD, jalr(0, 0)])
def test_what_traps_counts_as_an_instruction(bench, last):
    bench.put(NOP, last)
    bench.run()
    assert bench.cpu.instructions == 2 + (last == jalr(0, 0))


# Traps


def test_an_ecall_leaves_both_pcs(bench):
    bench.put(NOP, ECALL_WORD)
    assert bench.run().kind == ECALL
    assert (bench.x(RESTART_PC), bench.x(NEXT_PC)) == (CODE + 4, CODE + 8)


@pytest.mark.parametrize(
    ("insn", "register", "trap"),
    [
        (load(5, 10), 0x7000_0000, (PAGE_FAULT, 13, 0x7000_0000)),
        (store(5, 10), 0x7000_0000, (PAGE_FAULT, 15, 0x7000_0000)),
        (store(5, 10), MORE + 16, (PAGE_FAULT, 15, MORE + 16)),
        (load(5, 10), 1 << 63, (PAGE_FAULT, 13, 1 << 63)),
        (load(5, 10), MORE + 4092, (PAGE_FAULT, 13, MORE + 4096)),
        (store(5, 10), DATA + 4092, (PAGE_FAULT, 15, MORE)),
        (jalr(0, 10), DATA, (PAGE_FAULT, 12, DATA)),
        (jalr(0, 10), 0x7000_0000, (PAGE_FAULT, 12, 0x7000_0000)),
        (0xFFFF_FFFF, 0, (EXCEPTION, 2, 0)),
        (0x0010_0073, 0, (EXCEPTION, 3, 0)),
        (0x1020_0073, 0, (EXCEPTION, 2, 0)),
        (csrr(5, 0x100), 0, (EXCEPTION, 2, 0)),
        (0x1200_0073, 0, (EXCEPTION, 2, 0)),
        (LR, DATA + 4, (EXCEPTION, 4, DATA + 4)),
    ],
    ids=["load", "store", "read-only", "not canonical", "load across pages", "store across pages", "execute data",
         "execute nothing", "illegal", "ebreak", "sret", "supervisor csr", "sfence", "misaligned lr"],
)  # fmt: skip
def test_each_cause_is_exact_and_without_effect(bench, insn, register, trap):
    bench.put(NOP, NOP, insn)
    before = bench.machine.read_bytes(DATA_PAGE, 8192)
    assert bench.run(x5=77, x10=register) == trap
    at = register if trap[1] == 12 else CODE + 8
    assert (bench.x(RESTART_PC), bench.x(NEXT_PC), bench.x(5), bench.x(10)) == (at, at, 77, register)
    assert bench.machine.read_bytes(DATA_PAGE, 8192) == before


@pytest.mark.parametrize("csr", range(0xC03, 0xC20))
def test_performance_counters_cannot_be_read(bench, csr):
    bench.put(csrr(5, csr), ECALL_WORD)
    assert bench.run(x5=7) == (EXCEPTION, 2, 0)
    assert bench.x(5) == 7


def test_the_counters_of_user_mode_count_virtual_time_and_instructions(bench):
    """None of the host."""
    bench.machine.advance(1234)
    bench.put(*[NOP] * 18, csrr(5, 0xC01), csrr(6, 0xC00), csrr(7, 0xC02), csrr(0, 0xC01), ECALL_WORD)
    assert bench.run().kind == ECALL
    assert (bench.x(5), bench.x(6), bench.x(7), bench.x(0)) == (1234 + 1, 20, 21, 0)


@pytest.mark.parametrize("csr", [0xC00, 0xC01, 0xC02])
def test_a_counter_cannot_be_written(bench, csr):
    bench.put(csrr(5, csr) | 6 << 15)
    assert bench.run() == (EXCEPTION, 2, 0)


def test_a_device_register_is_reached_at_the_exact_time(bench):
    """THR of the UART: each store is carried out once."""
    bench.put(addi(5, 0, 0x41), store(5, 10, 0, 0), store(5, 10, 0, 0), ECALL_WORD)
    assert bench.run(x10=DEVICE).kind == ECALL
    bench.machine.advance(100_000)
    assert bench.machine.uart_backend.text == "AA"
    assert bench.cpu.instructions == 4


# The FPU


def test_the_fpu_is_the_threads_own(bench):
    bench.put(FMV_D_X, FADD, ECALL_WORD, FMV_X_D, ECALL_WORD)
    threads = [Thread() for _ in range(2)]
    for n, thread in enumerate(threads, 1):
        bench.thread = thread
        thread.registers[10] = 0x3FF0_0000_0000_0000 + (n << 52)
        assert bench.go_on().kind == ECALL
    for n, thread in enumerate(threads, 1):
        bench.thread = thread
        thread.registers[10] = 0
        assert bench.go_on().kind == ECALL
        assert thread.registers[10] == 0x3FF0_0000_0000_0000 + (n + 1 << 52)


def test_rounding_mode_and_flags_are_the_threads_own(bench):
    bench.put(FDIV, FRCSR, ECALL_WORD)
    bench.thread = Thread(fp_registers=[0] * 10 + [0x3FF0_0000_0000_0000] + [0] * 21 + [3 << 5])
    assert bench.go_on().kind == ECALL
    assert bench.x(10) == bench.thread.fp_registers[32] == 3 << 5 | 8
    bench.thread = Thread(fp_registers=[0] * 33)
    bench.thread.registers[NEXT_PC] = CODE + 4
    bench.go_on()
    assert bench.x(10) == 0


def test_floating_point_registers_are_right_wherever_a_run_is_stopped(bench):
    """In the middle of a block too."""
    bench.put(*[FADD] * 30, jump(-120))
    for wanted in (*range(1, 34), 61, 62, 63, 64, 100):
        bench.thread = Thread(fp_registers=[0] * 10 + [0x3FF0_0000_0000_0000] + [0] * 22)
        bench.cpu.stop_at = bench.cpu.instructions + wanted
        assert bench.go_on().kind == INTERRUPTED
        doubled = wanted // 31 * 30 + min(wanted % 31, 30)
        assert bench.thread.fp_registers[10] == (0x3FF + doubled) << 52


@pytest.mark.parametrize("insn", [FADD, FMV_X_D, FRCSR, C_FLD])
def test_a_disabled_fpu_is_an_illegal_instruction(bench, insn):
    bench.put(insn, ECALL_WORD)
    assert bench.run(fpu=False, x10=DATA) == (EXCEPTION, 2, 0)
    assert bench.thread.fp_registers is None


def test_a_thread_without_floating_point_has_no_such_registers(bench):
    bench.put(NOP, ECALL_WORD)
    bench.run()
    assert bench.thread.fp_registers is None


# Reservations


def test_a_reservation_holds_within_a_run(bench):
    bench.put(addi(12, 0, 9), addi(13, 10, 0), LR, addi(10, 13, 0), SC, ECALL_WORD)
    bench.run(x10=DATA, x11=5)
    assert bench.x(12) == 0
    assert bench.machine.read_word(DATA_PAGE) == 5


def test_the_kernel_breaks_a_reservation(bench):
    """As the loop does at each kernel entry."""
    bench.put(addi(13, 10, 0), LR, addi(10, 13, 0), ECALL_WORD, SC, ECALL_WORD)
    bench.run(x10=DATA, x11=5)
    bench.machine.clear_reservation()
    bench.go_on()
    assert bench.x(12) == 1
    assert bench.machine.read_word(DATA_PAGE) == 0


@pytest.mark.parametrize("stop", range(1, 8))
def test_looking_on_does_not_break_a_reservation(bench, stop):
    """A run that is stopped and goes on without the kernel."""
    bench.put(addi(12, 0, 9), addi(13, 10, 0), LR, addi(10, 13, 0), SC, NOP, NOP, ECALL_WORD)
    bench.cpu.stop_at = stop
    assert bench.run(x10=DATA, x11=5).kind == INTERRUPTED
    bench.cpu.stop_at = None
    assert bench.go_on().kind == ECALL
    assert bench.x(12) == 0


# Translations of addresses and of code


def test_a_translation_stays_until_it_is_flushed(bench):
    bench.put(load(5, 10), ECALL_WORD, jump(-8))
    bench.machine.write_word(DATA_PAGE, 1)
    bench.machine.write_word(OTHER_PAGE, 2)
    bench.run(x10=DATA)
    bench.tables.map(DATA, OTHER_PAGE, READ)
    bench.go_on()
    assert bench.x(5) == 1
    bench.machine.flush_asid(1)
    bench.go_on()
    assert bench.x(5) == 2


def test_a_right_that_was_taken_away_is_gone_after_a_flush(bench):
    bench.put(store(5, 10), ECALL_WORD, jump(-8))
    bench.run(x10=DATA)
    bench.tables.map(DATA, DATA_PAGE, READ)
    bench.machine.flush_all()
    assert bench.go_on() == (PAGE_FAULT, 15, DATA)


def test_code_that_the_kernel_or_a_device_wrote_over_is_seen(bench):
    bench.put(addi(5, 5, 1), ECALL_WORD, jump(-8))
    bench.run()
    bench.put(addi(5, 5, 16))
    bench.go_on()
    assert bench.x(5) == 17


def test_code_that_another_address_space_wrote_over_is_seen(bench):
    bench.put(addi(5, 5, 1), ECALL_WORD, jump(-8))
    bench.put(store(11, 10, 0, 2), ECALL_WORD, at=OTHER_PAGE)
    writer = bench.new_space(RAM + 16 * 4096, OTHER_PAGE)
    writer.map(DATA, CODE_PAGE, WRITE)
    bench.run()
    reader_thread = bench.thread
    bench.machine.set_vspace(writer.root, 2)
    assert bench.run(x10=DATA, x11=addi(5, 5, 16)).kind == ECALL
    bench.machine.set_vspace(bench.tables.root, 1)
    bench.thread = reader_thread
    bench.go_on()
    assert bench.x(5) == 17


def test_code_that_a_program_wrote_over_itself_is_seen_and_counted(bench):
    """From one long instruction to two short ones."""
    program = [store(11, 10, 64, 2), FENCE_I, jump(64 - 8)]
    bench.put(*program)
    bench.put(addi(5, 5, 1), ECALL_WORD, at=CODE_PAGE + 64)
    assert bench.run(x10=CODE, x11=addi(5, 5, 1)).kind == ECALL
    bench.cpu._retired.count = 0
    short = int.from_bytes(assemble(0x0285, 0x0285), "little")
    assert bench.run(x10=CODE, x11=short).kind == ECALL
    assert (bench.x(5), bench.cpu.instructions) == (2, 6)


def test_code_that_a_program_wrote_by_another_name_is_seen_and_counted(bench):
    """The usual way of a just-in-time compiler: one page for writing, the same for executing; in a loop."""
    bench.tables.map(DATA, CODE_PAGE, WRITE)
    bench.put(
        addi(6, 0, 3), store(11, 10, 64, 2), FENCE_I, jump(64 - 12),
        at=CODE_PAGE,
    )  # fmt: skip
    loop = [addi(5, 5, 1), addi(11, 12, 0), addi(6, 6, -1), 0, ECALL_WORD]  # the 0: bnez x6, back to the store
    back = (4 - 64 - 12) & 0x1FFF
    low = (back >> 1 & 15) << 8 | (back >> 11 & 1) << 7
    loop[3] = (back >> 12) << 31 | (back >> 5 & 63) << 25 | 6 << 15 | 1 << 12 | low | 0x63
    bench.put(*loop, at=CODE_PAGE + 64)
    assert bench.run(x10=DATA, x11=addi(5, 5, 16), x12=addi(5, 5, 256)).kind == ECALL
    assert (bench.x(5), bench.cpu.instructions) == (16 + 256 + 256, 1 + 3 * 7 + 1)


def test_a_stop_in_front_of_what_cannot_be_fetched_counts_what_was_done(bench):
    """A long instruction of which only the first half is mapped, behind a number of others."""
    for count in (0, 1, 5, 40):
        bench.put(*[addi(5, 5, 1)] * count, at=CODE_PAGE + 4094 - 4 * count)
        bench.machine.write_bytes(CODE_PAGE + 4094, assemble(addi(5, 5, 1))[:2])
        before = bench.cpu.instructions
        assert bench.run(pc=CODE + 4094 - 4 * count) == (PAGE_FAULT, 12, CODE + 4096)
        assert (bench.x(5), bench.cpu.instructions - before) == (count, count + 1)


def test_an_odd_pc_is_as_on_the_other_cpus(bench):
    bench.put(addi(5, 5, 1), ECALL_WORD)
    assert bench.run(pc=CODE + 1).kind == ECALL
    assert bench.x(5) == 1
    assert bench.run(pc=0x1001) == (PAGE_FAULT, 12, 0x1001)


def test_a_translation_that_should_have_been_flushed_may_lead_to_anything_but_a_crash(bench):
    """The tables come to name a device where code ran, and nobody flushes."""
    bench.put(addi(5, 5, 1), ECALL_WORD, jump(-8))
    bench.run()
    bench.tables.map(CODE, QEMU_VIRT_RISCV64.device("uart0").region.base, EXECUTE)
    bench.go_on()
    bench.tables.map(CODE, 0x7_0000_0000, EXECUTE)
    bench.go_on()


def test_an_interrupt_by_the_user_is_not_lost(bench, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    bench.put(*[NOP] * 3, jump(-12))
    engine = bench.cpu._stepper if isinstance(bench.cpu._engine(), CompiledEngine) else bench.cpu._engine()
    monkeypatch.setattr(engine, "_read", interrupt)
    bench.cpu.stop_at = 2
    with pytest.raises(KeyboardInterrupt):
        bench.run()


def test_singles_are_right_before_an_instruction_that_is_kept_from_the_emulator(bench):
    """fdiv.s, then a reserved compressed instruction in the same block."""
    bench.put(0x18B5_7553, 0x9C41)
    one, three = 0xFFFF_FFFF_3F80_0000, 0xFFFF_FFFF_4040_0000
    bench.thread = Thread(fp_registers=[0] * 10 + [one, three] + [0] * 21)
    assert bench.go_on() == (EXCEPTION, 2, 0)
    assert bench.thread.fp_registers[10] & 0xFFFF_FFFF == 0x3EAA_AAAB
    assert bench.thread.fp_registers[32] == 1


def test_the_shim_and_the_engine_speak_of_the_same_things():
    """Constants that stand in both."""
    source = (Path(engine_module.__file__).parent / "_shim.c").read_text()
    stated = dict(re.findall(r"\b([A-Z_]+) = (\d+)[,\s}]", source))
    for name in ("DONE", "TRAPPED", "ECALL", "RESERVED", "FLOATING"):
        assert int(stated[name]) == getattr(engine_module, name), name
    for name in ("STALE", "REFUSED"):
        assert int(stated[name]) == getattr(engine_module, f"_{name}"), name
    for name in ("PC", "PRIVILEGE", "MSTATUS", "OK", "EXCEPTION", "BEHIND"):
        assert int(stated[name]) == getattr(emulator_module, name), name


def test_other_code_at_the_same_address_is_seen(bench):
    bench.put(addi(5, 5, 1), ECALL_WORD, jump(-8))
    bench.put(addi(5, 5, 16), ECALL_WORD, at=OTHER_PAGE)
    bench.run()
    bench.tables.map(CODE, OTHER_PAGE, EXECUTE)
    bench.machine.flush_asid(1)
    bench.run()
    assert bench.x(5) == 16
    bench.tables.map(CODE, CODE_PAGE, EXECUTE)
    bench.machine.flush_asid(1)
    bench.put(addi(5, 5, 3))
    bench.run()
    assert bench.x(5) == 3


def test_few_engines_serve_many_address_spaces(address_space, compiled):
    bench = Bench(address_space, compiled, max_engines=2)
    bench.put(addi(5, 5, 1), ECALL_WORD, jump(-8))
    for asid in (1, 2, 3, 1, 2, 3):
        bench.machine.set_vspace(bench.tables.root, asid)
        bench.run(x5=asid)
        assert bench.x(5) == asid + 1
    assert len(bench.cpu._engines) == 2


def test_without_an_address_space_nothing_can_be_fetched(bench):
    bench.machine.set_vspace(0, 0)
    assert bench.run() == (PAGE_FAULT, 12, CODE)


def test_a_restored_machine_runs_its_own_code(bench):
    bench.put(addi(5, 5, 1), ECALL_WORD, jump(-8))
    saved = bench.machine.snapshot()
    bench.put(addi(5, 5, 16))
    bench.run()
    bench.machine.restore(saved)
    bench.run()
    assert bench.x(5) == 1


def test_noise_never_escapes_and_does_the_same_again(bench):
    """Random bytes as code: whatever they do, twice, they do within their own pages."""
    told = []
    for _ in range(2):
        chance = random.Random(1)
        outcomes = []
        for _ in range(40):
            bench.machine.write_bytes(CODE_PAGE, chance.randbytes(4096))
            bench.machine.clear(DATA_PAGE, 8192)
            bench.cpu.stop_at = bench.cpu.instructions + 500
            before = bench.cpu.instructions
            trap = bench.run(**{f"x{n}": chance.choice((DATA, CODE, chance.getrandbits(64))) for n in range(1, 32)})
            outcomes.append((trap, bench.thread, bench.cpu.instructions - before))
        told.append(outcomes)
    assert told[0] == told[1]
