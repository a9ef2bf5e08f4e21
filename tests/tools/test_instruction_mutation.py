"""Mistakes in instructions: each is what it is called, by what the instruction then does."""

import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from capkernel.tools.instruction_mutation import NOP, SHORT_NOP, Slip, mistaken, size_of, slips_of
from hwmodel.board import QEMU_VIRT_RISCV64
from hwmodel.cpu import fields, rv64
from hwmodel.cpu.compressed import expand
from hwmodel.cpu.floating import FP_REGISTERS
from hwmodel.machine import Machine

MACHINE = Machine(QEMU_VIRT_RISCV64, ram_size=1 << 20)
PC = 0x1000
LOADS_AND_STORES, BRANCHES = (0x03, 0x23), 0x63
ARITHMETIC = (0x13, 0x1B, 0x33, 0x3B, 0x37, 0x17)
VALUES = st.integers(0, (1 << 64) - 1) | st.sampled_from((0, 1, (1 << 64) - 1, 1 << 63))
REGISTERS = st.lists(VALUES, min_size=32, max_size=32)
SEEDS = st.integers(0, 1 << 32)
OPCODES = (*LOADS_AND_STORES, BRANCHES, *ARITHMETIC, 0x67, 0x6F, 0x73, 0x2F, 0x53)
LONG = st.builds(lambda opcode, rest: rest << 7 | opcode, st.sampled_from(OPCODES), st.integers(0, (1 << 25) - 1))
SHORT = st.integers(0, 0xFFFF).filter(lambda word: word & 3 != 3)


def ran(word: int, x: list[int]) -> list[int]:
    """The registers, and the next pc, after one instruction that touches no memory."""
    registers = [*x, PC, PC]
    registers[0] = 0
    rv64.execute(MACHINE, word, registers, [0] * FP_REGISTERS, fpu_enabled=False)
    return registers


def wrong(word: int, slip: Slip, seed: int = 0) -> int:
    return mistaken(word, slip, random.Random(seed))


@given(LONG | SHORT, SEEDS)
def test_every_mistake_makes_another_instruction_of_the_same_size(word: int, seed: int) -> None:
    for slip in slips_of(word):
        found = wrong(word, slip, seed)
        assert found != word
        assert 0 <= found < 1 << 8 * size_of(word)
        if slip is not Slip.BIT:
            assert size_of(found) == size_of(word)
        if slip is Slip.BIT:
            assert (found ^ word).bit_count() == 1


@given(LONG, SEEDS)
def test_only_the_field_is_changed_that_is_meant(word: int, seed: int) -> None:
    masks = {
        Slip.DESTINATION: 0x1F << 7, Slip.WIDTH: 7 << 12, Slip.NUMBER: 0xFFFFF << 12,
        Slip.ADDRESS: 0xFFF << 20 if word & 0x7F == LOADS_AND_STORES[0] else 0x7F << 25 | 0x1F << 7,
    }  # fmt: skip
    for slip in set(slips_of(word)) & masks.keys():
        assert not (wrong(word, slip, seed) ^ word) & ~masks[slip]
    if Slip.SOURCE in slips_of(word):
        changed = wrong(word, Slip.SOURCE, seed) ^ word
        assert not changed & ~(0x1F << 15) or not changed & ~(0x1F << 20)


@given(REGISTERS, st.sampled_from((0, 1, 4, 5, 6, 7)), st.integers(0, 1 << 25))
def test_an_inverted_branch_goes_the_other_way_and_a_bound_is_off_by_one(
    x: list[int], funct3: int, rest: int
) -> None:
    # One of the bits of the offset is set, so it does not lead to what is behind.
    word = (rest << 7 & ~(7 << 12) | funct3 << 12 | BRANCHES) & 0xFFFFFFFF | 1 << 10
    behind = PC + 4
    taken = ran(word, x)[rv64.NEXT_PC] != behind
    assert (ran(wrong(word, Slip.INVERTED), x)[rv64.NEXT_PC] != behind) is not taken
    if funct3 >= 4:
        x[0] = 0
        is_same = x[fields.rs1(word)] == x[fields.rs2(word)]
        assert (ran(wrong(word, Slip.BOUND), x)[rv64.NEXT_PC] != behind) is (taken is not is_same)


@given(REGISTERS, st.integers(1, 31), st.integers(0, 31), st.integers(-2047, 2046), SEEDS)
def test_a_number_is_one_too_many_or_too_few(x: list[int], rd: int, rs1: int, number: int, seed: int) -> None:
    word = (number & 0xFFF) << 20 | rs1 << 15 | rd << 7 | 0x13
    right, found = (ran(each, x)[rd] for each in (word, wrong(word, Slip.NUMBER, seed)))
    assert (found - right) % (1 << 64) in (1, (1 << 64) - 1)


@given(REGISTERS, LONG | SHORT)
def test_what_is_left_out_changes_nothing_but_the_pc(x: list[int], word: int) -> None:
    assume(word not in (NOP, SHORT_NOP))
    assert ran(wrong(word, Slip.LEFT_OUT), x)[: rv64.RESTART_PC] == [0, *x[1:]]
    assert ran(wrong(word, Slip.LEFT_OUT), x)[rv64.NEXT_PC] == PC + size_of(word)


C_LI_A0_5, C_ADDI16SP_32, C_BEQZ_A0, C_LW, C_LDSP_A0_8, C_SUB, C_JR_RA, C_MV_A0_A1 = (
    0x4515, 0x6105, 0xC119, 0x4188, 0x6522, 0x8D0D, 0x8082, 0x852E,
)  # fmt: skip


@pytest.mark.parametrize(("word", "slip", "found"), [
    (C_LI_A0_5, Slip.NUMBER, {0x4511, 0x4519}),
    (C_ADDI16SP_32, Slip.NUMBER, {0x6141, 0x6145}),
    (C_BEQZ_A0, Slip.INVERTED, {0xE119}),
    (C_LW, Slip.WIDTH, {0x6188}),
    (C_LDSP_A0_8, Slip.WIDTH, {0x4522}),
])  # fmt: skip
def test_compressed_instructions_get_the_same_mistakes(word: int, slip: Slip, found: set[int]) -> None:
    assert {wrong(word, slip, seed) for seed in range(40)} == found


def test_compressed_instructions_read_and_write_other_registers() -> None:
    sources = {expand(wrong(C_SUB, Slip.SOURCE, seed)) for seed in range(200)}
    assert {fields.rs2(word) for word in sources} == set(range(8, 16)) - {fields.rs2(expand(C_SUB))}
    assert {fields.rd(word) for word in sources} == {fields.rd(expand(C_SUB))}
    moved = {expand(wrong(C_MV_A0_A1, Slip.DESTINATION, seed)) for seed in range(400)}
    assert {fields.rd(word) for word in moved} == set(range(32)) - {10}
    returns = {expand(wrong(C_JR_RA, Slip.SOURCE, seed)) for seed in range(400)} - {0}
    assert {fields.rs1(word) for word in returns} == set(range(1, 32)) - {1}
