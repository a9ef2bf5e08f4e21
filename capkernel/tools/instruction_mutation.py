"""Mistakes in one instruction of machine code: what a bit that flips makes of it, or a compiler that errs.

An encoding of RV64GC becomes another of the same size. Which mistakes there are for it follows from its format (The
RISC-V Instruction Set Manual, volume I: the formats of the base and of extension C). Of formats that user programs
seldom have (atomic, floating point, system) only bits are inverted, and they are left out.
"""

import random
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from attrs import frozen

from hwmodel.cpu import fields

Bits = tuple[int, ...]
"""Where the bits of a field are in an instruction, the lowest first."""
NOP: Final = 0x13
SHORT_NOP: Final = 0x0001


class Slip(StrEnum):
    """What is wrong with an instruction."""

    BIT = "bit"
    """Any bit of it is inverted."""
    SOURCE = "source"
    """It reads another register."""
    DESTINATION = "destination"
    """It writes another register."""
    INVERTED = "inverted"
    """A branch is taken when it should not be, and not when it should."""
    LEFT_OUT = "left out"
    """It does nothing."""
    NUMBER = "number"
    """A constant is one too many or one too few."""
    BOUND = "bound"
    """A branch on less takes equal for less; one on greater or equal does not take equal for it."""
    WIDTH = "width"
    """A load or store of another width."""
    ADDRESS = "address"
    """A load or store at another offset: a bit of it is inverted."""


@frozen
class Format:
    """Where the parts of an instruction are; empty where it has none.

    ``is_ordered`` is a branch that compares which operand is less; ``inverting`` the bit that inverts a branch.
    """

    destination: Bits = ()
    sources: tuple[Bits, ...] = ()
    number: Bits = ()
    offset: Bits = ()
    width: Bits = ()
    widths: tuple[int, ...] = ()
    inverting: Bits = ()
    is_ordered: bool = False

    @property
    def slips(self) -> tuple[Slip, ...]:
        """The mistakes that can be made in it, besides those that can be made in any."""
        there = {
            Slip.SOURCE: self.sources, Slip.DESTINATION: self.destination, Slip.INVERTED: self.inverting,
            Slip.NUMBER: self.number, Slip.BOUND: self.is_ordered, Slip.WIDTH: self.width, Slip.ADDRESS: self.offset,
        }  # fmt: skip
        return tuple(slip for slip, part in there.items() if part)


def _bits(*parts: range | int) -> Bits:
    return tuple(bit for part in parts for bit in (part if isinstance(part, range) else (part,)))


_RD, _RS1, _RS2, _FUNCT3 = (_bits(range(first, end)) for first, end in ((7, 12), (15, 20), (20, 25), (12, 15)))
_I_NUMBER, _U_NUMBER, _S_NUMBER = _bits(range(20, 32)), _bits(range(12, 32)), _bits(range(7, 12), range(25, 32))
_SHIFT, _SHORT_SHIFT = _bits(range(20, 26)), _bits(range(20, 25))
_LOADS, _STORES = tuple(range(7)), tuple(range(4))
_SHIFTS: Final = (1, 5)
_FIRST_ORDERED: Final = 4
_OP_IMM, _OP_IMM_32, _BRANCH = 0x13, 0x1B, 0x63

_FORMATS: Final = {
    0x03: Format(destination=_RD, sources=(_RS1,), offset=_I_NUMBER, width=_FUNCT3, widths=_LOADS),
    _OP_IMM: Format(destination=_RD, sources=(_RS1,), number=_I_NUMBER),
    0x17: Format(destination=_RD, number=_U_NUMBER),
    _OP_IMM_32: Format(destination=_RD, sources=(_RS1,), number=_I_NUMBER),
    0x23: Format(sources=(_RS1, _RS2), offset=_S_NUMBER, width=_FUNCT3, widths=_STORES),
    0x33: Format(destination=_RD, sources=(_RS1, _RS2)),
    0x37: Format(destination=_RD, number=_U_NUMBER),
    0x3B: Format(destination=_RD, sources=(_RS1, _RS2)),
    _BRANCH: Format(sources=(_RS1, _RS2), inverting=_FUNCT3[:1]),
    0x67: Format(destination=_RD, sources=(_RS1,), number=_I_NUMBER),
    0x6F: Format(destination=_RD),
}
"""By the opcode of a long instruction."""

_FULL, _LOWER, _UPPER, _SECOND = (_bits(range(first, end)) for first, end in ((7, 12), (2, 5), (7, 10), (2, 7)))
_SIX = _bits(range(2, 7), 12)
_WORD_OFFSET, _DOUBLE_OFFSET = _bits(6, 10, 11, 12, 5), _bits(10, 11, 12, 5, 6)
_OTHER_WIDTH = (13,)
"""The bit that makes a word of a double word."""
_BOTH: Final = (0, 1)


def _short_load(offset: Bits) -> Format:
    return Format(destination=_LOWER, sources=(_UPPER,), offset=offset, width=_OTHER_WIDTH, widths=_BOTH)


def _short_store(offset: Bits) -> Format:
    return Format(sources=(_UPPER, _LOWER), offset=offset, width=_OTHER_WIDTH, widths=_BOTH)


_STACK_LOAD = Format(destination=_FULL, offset=_SIX, width=_OTHER_WIDTH, widths=_BOTH)
_STACK_STORE = Format(sources=(_SECOND,), offset=_bits(range(7, 13)), width=_OTHER_WIDTH, widths=_BOTH)
_SHORT_BRANCH = Format(sources=(_UPPER,), inverting=_OTHER_WIDTH)

_SHORT_FORMATS: Final = {
    (0, 0): Format(destination=_LOWER, number=_bits(6, 5, range(11, 13), range(7, 11))),
    (0, 2): _short_load(_WORD_OFFSET),
    (0, 3): _short_load(_DOUBLE_OFFSET),
    (0, 6): _short_store(_WORD_OFFSET),
    (0, 7): _short_store(_DOUBLE_OFFSET),
    (1, 0): Format(destination=_FULL, number=_SIX),
    (1, 1): Format(destination=_FULL, number=_SIX),
    (1, 2): Format(destination=_FULL, number=_SIX),
    (1, 3): Format(destination=_FULL, number=_SIX),
    (1, 6): _SHORT_BRANCH,
    (1, 7): _SHORT_BRANCH,
    (2, 0): Format(destination=_FULL, number=_SIX),
    (2, 2): _STACK_LOAD,
    (2, 3): _STACK_LOAD,
    (2, 4): Format(destination=_FULL, sources=(_SECOND,)),
    (2, 6): _STACK_STORE,
    (2, 7): _STACK_STORE,
}
"""By quadrant and upper three bits of a compressed instruction, but for those that follow."""
_SP: Final = 2
_STACK_POINTER: Final = Format(number=_bits(6, 2, 5, 3, 4, 12))
_SHORT_JUMP: Final = Format(sources=(_FULL,))
_SHORT_NUMBERS: Final = Format(destination=_UPPER, number=_SIX)
_SHORT_REGISTERS: Final = Format(destination=_UPPER, sources=(_LOWER,))
_OTHER: Final = Format()


def size_of(parcel: int) -> int:
    """The bytes of an instruction, by its first 16 bits."""
    return 4 if parcel & 3 == 3 else 2


def format_of(word: int) -> Format:
    """The format of an instruction, of 16 or 32 bits."""
    if size_of(word) == 2:
        return _short_format_of(word)
    opcode, funct3 = word & 0x7F, fields.funct3(word)
    if opcode == _OP_IMM and funct3 in _SHIFTS:
        return Format(destination=_RD, sources=(_RS1,), number=_SHIFT)
    if opcode == _OP_IMM_32 and funct3 in _SHIFTS:
        return Format(destination=_RD, sources=(_RS1,), number=_SHORT_SHIFT)
    if opcode == _BRANCH and funct3 >= _FIRST_ORDERED:
        return Format(sources=(_RS1, _RS2), inverting=_FUNCT3[:1], is_ordered=True)
    return _FORMATS.get(opcode, _OTHER)


def _short_format_of(word: int) -> Format:
    match word & 3, word >> 13:
        case (1, 3) if _value(word, _FULL) == _SP:
            return _STACK_POINTER
        case (1, 4):
            return _SHORT_REGISTERS if word >> 10 & 3 == 3 else _SHORT_NUMBERS
        case (2, 4) if not _value(word, _SECOND):
            return _SHORT_JUMP
        case kind:
            return _SHORT_FORMATS.get(kind, _OTHER)


def slips_of(word: int) -> tuple[Slip, ...]:
    """The mistakes that can be made in an instruction."""
    rest = () if word in (NOP, SHORT_NOP) else (Slip.LEFT_OUT,)
    return (Slip.BIT, *rest, *format_of(word).slips)


def mistaken(word: int, slip: Slip, chance: random.Random) -> int:
    """The instruction with a mistake of that kind, which must be one of ``slips_of``: another than it was."""
    form, is_long = format_of(word), size_of(word) == 4
    match slip:
        case Slip.BIT:
            return word ^ 1 << chance.randrange(32 if is_long else 16)
        case Slip.LEFT_OUT:
            return NOP if is_long else SHORT_NOP
        case Slip.SOURCE:
            bits = chance.choice(form.sources)
            return _with(word, bits, _other(chance, _value(word, bits), range(1 << len(bits))))
        case Slip.DESTINATION:
            bits = form.destination
            return _with(word, bits, _other(chance, _value(word, bits), range(1 << len(bits))))
        case Slip.INVERTED:
            return word ^ 1 << form.inverting[0]
        case Slip.NUMBER:
            return _with(word, form.number, _value(word, form.number) + chance.choice((-1, 1)))
        case Slip.BOUND:
            swapped = _with(_with(word, _RS1, fields.rs2(word)), _RS2, fields.rs1(word))
            return swapped ^ 1 << form.inverting[0]
        case Slip.WIDTH:
            return _with(word, form.width, _other(chance, _value(word, form.width), form.widths))
        case Slip.ADDRESS:
            return word ^ 1 << chance.choice(form.offset)


def _value(word: int, bits: Bits) -> int:
    return sum((word >> bit & 1) << place for place, bit in enumerate(bits))


def _with(word: int, bits: Bits, value: int) -> int:
    """The instruction with another value in a field, of which only the bits count that it has."""
    for place, bit in enumerate(bits):
        word = word & ~(1 << bit) | (value >> place & 1) << bit
    return word


def _other(chance: random.Random, have: int, choices: Iterable[int]) -> int:
    return chance.choice([each for each in choices if each != have])
