"""The C extension: from a 16-bit instruction to the 32-bit one that it stands for.

After the RISC-V unprivileged specification, chapter "C" (RV64C with D; the tables "Instruction listing for RVC").
"""

from collections.abc import Callable

RESERVED = 0
"""What a reserved encoding expands to: never a valid instruction."""

_LOAD, _LOAD_FP, _OP_IMM, _OP_IMM_32, _STORE, _STORE_FP = 0x03, 0x07, 0x13, 0x1B, 0x23, 0x27
_OP, _LUI, _OP_32, _BRANCH, _JALR, _JAL = 0x33, 0x37, 0x3B, 0x63, 0x67, 0x6F
_RA, _SP = 1, 2
_EBREAK = 0x00100073
_WORD, _DOUBLE = 2, 3
_ADD, _SHIFT_LEFT, _XOR, _SHIFT_RIGHT, _OR, _AND = 0, 1, 4, 5, 6, 7
_NEGATIVE = 0x40000000
"""Turns add into sub and a logical right shift into an arithmetic one."""


def expand(parcel: int) -> int:
    """The 32-bit encoding of a compressed instruction, or ``RESERVED``."""
    return _EXPANSIONS[parcel & 3, parcel >> 13](parcel)


# The 32-bit formats


def _i_type(opcode: int, funct3: int, rd: int, rs1: int, imm: int) -> int:
    return (imm & 0xFFF) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode


def _s_type(opcode: int, funct3: int, rs1: int, rs2: int, imm: int) -> int:
    return (imm >> 5) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | (imm & 31) << 7 | opcode


def _r_type(opcode: int, funct3: int, rd: int, rs1: int, rs2: int) -> int:
    return rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode


# The fields of compressed instructions


def _rd(parcel: int) -> int:
    return parcel >> 7 & 31


def _rs2(parcel: int) -> int:
    return parcel >> 2 & 31


def _upper_short(parcel: int) -> int:
    return 8 + (parcel >> 7 & 7)


def _lower_short(parcel: int) -> int:
    return 8 + (parcel >> 2 & 7)


def _imm6(parcel: int) -> int:
    """The signed 6-bit immediate."""
    return (parcel >> 2 & 31) - (parcel >> 7 & 32)


def _shamt(parcel: int) -> int:
    return _imm6(parcel) & 63


def _word_offset(parcel: int) -> int:
    return parcel >> 7 & 0x38 | parcel >> 4 & 4 | parcel << 1 & 0x40


def _double_offset(parcel: int) -> int:
    return parcel >> 7 & 0x38 | parcel << 1 & 0xC0


# Quadrant 0


def _addi4spn(parcel: int) -> int:
    imm = parcel >> 7 & 0x30 | parcel >> 1 & 0x3C0 | parcel >> 4 & 4 | parcel >> 2 & 8
    return _i_type(_OP_IMM, _ADD, _lower_short(parcel), _SP, imm) if imm else RESERVED


def _short_load(opcode: int, width: int) -> Callable[[int], int]:
    offset = _word_offset if width == _WORD else _double_offset
    return lambda p: _i_type(opcode, width, _lower_short(p), _upper_short(p), offset(p))


def _short_store(opcode: int, width: int) -> Callable[[int], int]:
    offset = _word_offset if width == _WORD else _double_offset
    return lambda p: _s_type(opcode, width, _upper_short(p), _lower_short(p), offset(p))


def _reserved(parcel: int) -> int:
    return RESERVED


# Quadrant 1


def _addi(parcel: int) -> int:
    return _i_type(_OP_IMM, _ADD, _rd(parcel), _rd(parcel), _imm6(parcel))


def _addiw(parcel: int) -> int:
    rd = _rd(parcel)
    return _i_type(_OP_IMM_32, _ADD, rd, rd, _imm6(parcel)) if rd else RESERVED


def _li(parcel: int) -> int:
    return _i_type(_OP_IMM, _ADD, _rd(parcel), 0, _imm6(parcel))


def _lui_or_addi16sp(parcel: int) -> int:
    rd, imm = _rd(parcel), _imm6(parcel)
    if not imm:
        return RESERVED
    if rd != _SP:
        return (imm & 0xFFFFF) << 12 | rd << 7 | _LUI
    spread = parcel >> 2 & 0x10 | parcel << 3 & 0x20 | parcel << 1 & 0x40 | parcel << 4 & 0x180
    return _i_type(_OP_IMM, _ADD, _SP, _SP, spread - (parcel >> 3 & 0x200))


def _arithmetic(parcel: int) -> int:
    rd = _upper_short(parcel)
    match parcel >> 10 & 3:
        case 0:
            return _i_type(_OP_IMM, _SHIFT_RIGHT, rd, rd, _shamt(parcel))
        case 1:
            return _i_type(_OP_IMM, _SHIFT_RIGHT, rd, rd, _shamt(parcel)) | _NEGATIVE
        case 2:
            return _i_type(_OP_IMM, _AND, rd, rd, _imm6(parcel))
        case _:
            return _register_arithmetic(parcel)


_REGISTER_OPERATIONS = (
    (_OP, _ADD, _NEGATIVE), (_OP, _XOR, 0), (_OP, _OR, 0), (_OP, _AND, 0), (_OP_32, _ADD, _NEGATIVE), (_OP_32, _ADD, 0),
)  # fmt: skip
"""c.sub, c.xor, c.or, c.and, c.subw, c.addw."""


def _register_arithmetic(parcel: int) -> int:
    index = parcel >> 10 & 4 | parcel >> 5 & 3
    if index >= len(_REGISTER_OPERATIONS):
        return RESERVED
    opcode, funct3, negative = _REGISTER_OPERATIONS[index]
    rd = _upper_short(parcel)
    return _r_type(opcode, funct3, rd, rd, _lower_short(parcel)) | negative


def _jump(parcel: int) -> int:
    imm = (
        parcel >> 2 & 0xE | parcel >> 7 & 0x10 | parcel << 3 & 0x20 | parcel >> 1 & 0x40 | parcel << 1 & 0x80
        | parcel >> 1 & 0x300 | parcel << 2 & 0x400
    )  # fmt: skip
    # The sign fills bits 11 to 20; of these, bit 11 has a place of its own and 12 to 19 come after it.
    sign = parcel >> 12 & 1
    return sign << 31 | (imm >> 1) << 21 | sign << 20 | (0xFF if sign else 0) << 12 | _JAL


def _branch(funct3: int) -> Callable[[int], int]:
    def expansion(parcel: int) -> int:
        imm = parcel >> 2 & 6 | parcel >> 7 & 0x18 | parcel << 3 & 0x20 | parcel << 1 & 0xC0
        sign = parcel >> 12 & 1
        high = (0x40 | 0x38 if sign else 0) | imm >> 5 & 7
        return (
            high << 25 | _upper_short(parcel) << 15 | funct3 << 12 | (imm >> 1 & 15) << 8 | sign << 7 | _BRANCH
        )  # fmt: skip

    return expansion


# Quadrant 2


def _slli(parcel: int) -> int:
    return _i_type(_OP_IMM, _SHIFT_LEFT, _rd(parcel), _rd(parcel), _shamt(parcel))


def _word_load_from_stack(parcel: int) -> int:
    imm = parcel >> 7 & 0x20 | parcel >> 2 & 0x1C | parcel << 4 & 0xC0
    return _i_type(_LOAD, _WORD, _rd(parcel), _SP, imm) if _rd(parcel) else RESERVED


def _double_load_from_stack(opcode: int) -> Callable[[int], int]:
    def expansion(parcel: int) -> int:
        imm = parcel >> 7 & 0x20 | parcel >> 2 & 0x18 | parcel << 4 & 0x1C0
        if opcode == _LOAD and not _rd(parcel):
            return RESERVED
        return _i_type(opcode, _DOUBLE, _rd(parcel), _SP, imm)

    return expansion


def _word_store_to_stack(parcel: int) -> int:
    return _s_type(_STORE, _WORD, _SP, _rs2(parcel), parcel >> 7 & 0x3C | parcel >> 1 & 0xC0)


def _double_store_to_stack(opcode: int) -> Callable[[int], int]:
    return lambda p: _s_type(opcode, _DOUBLE, _SP, _rs2(p), p >> 7 & 0x38 | p >> 1 & 0x1C0)


def _jump_move_add(parcel: int) -> int:
    """c.jr, c.mv, c.ebreak, c.jalr, c.add."""
    rd, rs2, linking = _rd(parcel), _rs2(parcel), parcel >> 12 & 1
    if rs2:
        return _r_type(_OP, _ADD, rd, rd if linking else 0, rs2)
    if rd:
        return _i_type(_JALR, 0, _RA if linking else 0, rd, 0)
    return _EBREAK if linking else RESERVED


_EXPANSIONS: dict[tuple[int, int], Callable[[int], int]] = {
    (0, 0): _addi4spn,
    (0, 1): _short_load(_LOAD_FP, _DOUBLE),
    (0, 2): _short_load(_LOAD, _WORD),
    (0, 3): _short_load(_LOAD, _DOUBLE),
    (0, 4): _reserved,
    (0, 5): _short_store(_STORE_FP, _DOUBLE),
    (0, 6): _short_store(_STORE, _WORD),
    (0, 7): _short_store(_STORE, _DOUBLE),
    (1, 0): _addi,
    (1, 1): _addiw,
    (1, 2): _li,
    (1, 3): _lui_or_addi16sp,
    (1, 4): _arithmetic,
    (1, 5): _jump,
    (1, 6): _branch(0),
    (1, 7): _branch(1),
    (2, 0): _slli,
    (2, 1): _double_load_from_stack(_LOAD_FP),
    (2, 2): _word_load_from_stack,
    (2, 3): _double_load_from_stack(_LOAD),
    (2, 4): _jump_move_add,
    (2, 5): _double_store_to_stack(_STORE_FP),
    (2, 6): _word_store_to_stack,
    (2, 7): _double_store_to_stack(_STORE),
}
"""By quadrant (bits 1..0) and funct3 (bits 15..13)."""
