"""The F and D extensions' arithmetic on a list of 33 words: f0..f31 and fcsr.

After the RISC-V unprivileged specification, chapters "F" and "D". Results are rounded to nearest, ties to even,
whatever the rounding mode says; only conversions to integers honour it. No exception flag is ever raised. A single
is kept boxed: its upper half is all ones, and one that is not counts as not-a-number.
"""

import math
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Final

from hwmodel.cpu import fields

FCSR: Final = 32
FP_REGISTERS: Final = FCSR + 1
WORD: Final = (1 << 64) - 1
_LOW: Final = 0xFFFFFFFF
_BOX: Final = _LOW << 32
_NEAREST, _TOWARDS_ZERO, _DOWN, _UP, _NEAREST_AWAY, _DYNAMIC = 0, 1, 2, 3, 4, 7


class Format:
    """A format by its size in bits: how a register's bits become a number and back."""

    def __init__(self, bits: int, code: str, canonical_nan: int, exponent: int) -> None:
        self.bits = bits
        self.sign = 1 << bits - 1
        self.nan = canonical_nan
        self._code = code
        self._exponent = exponent

    def raw(self, register: int) -> int:
        """The format's bits in a register."""
        if self.bits == 64:
            return register
        return register & _LOW if register >> 32 == _LOW else self.nan

    def register(self, raw: int) -> int:
        """What a register holds for these bits."""
        return raw if self.bits == 64 else boxed(raw)

    def number(self, raw: int) -> float:
        """The value of the bits."""
        return float(struct.unpack("<" + self._code, raw.to_bytes(self.bits // 8, "little"))[0])

    def encode(self, value: float) -> int:
        """The bits nearest to a value; every not-a-number is the canonical one."""
        if math.isnan(value):
            return self.nan
        try:
            return int.from_bytes(struct.pack("<" + self._code, value), "little")
        except OverflowError:
            return self.encode(math.copysign(math.inf, value))

    def encode_exact(self, value: Fraction) -> int:
        """The bits nearest to an exact value, rounded once."""
        try:
            near = float(value)
        except OverflowError:
            near = math.inf if value > 0 else -math.inf
        if self.bits == 32 and math.isfinite(near):
            near = _round_to_odd(near, value)
        return self.encode(near)

    def is_subnormal(self, raw: int) -> bool:
        """Whether the bits are of a number too small for full precision (0 is not)."""
        return raw & ~self.sign != 0 and raw & self._exponent == 0

    def is_signalling(self, raw: int) -> bool:
        """Whether a not-a-number's bits are of the signalling kind."""
        return raw & (self.nan & ~self._exponent) == 0


SINGLE: Final = Format(32, "f", 0x7FC00000, 0x7F800000)
DOUBLE: Final = Format(64, "d", 0x7FF8000000000000, 0x7FF0000000000000)
_FORMATS = {0: SINGLE, 1: DOUBLE}


def _round_to_odd(near: float, exact: Fraction) -> float:
    """A double such that rounding it to a single is the same as rounding ``exact`` to a single."""
    if Fraction(near) == exact or DOUBLE.encode(near) & 1:
        return near
    return math.nextafter(near, math.inf if exact > Fraction(near) else -math.inf)


def boxed(raw: int) -> int:
    """A single's bits as a register holds them."""
    return _BOX | raw & _LOW


def execute(word: int, x: list[int], fp: list[int]) -> bool:
    """Execute an instruction of OP-FP or a fused one (MADD, MSUB, NMSUB, NMADD); false if there is none such."""
    kind = _FORMATS.get(word >> 25 & 3)
    if kind is None:
        return False
    if word & 0x7F != _OP_FP:
        return _fused(kind, word, fp)
    operation = _OPERATIONS.get(word >> 27)
    return operation is not None and operation(kind, word, x, fp)


_OP_FP, _MADD, _MSUB, _NMSUB, _NMADD = 0x53, 0x43, 0x47, 0x4B, 0x4F


def _rounding(word: int, fp: list[int]) -> int | None:
    """The rounding mode in force, None if it is reserved."""
    mode = fields.funct3(word)
    if mode == _DYNAMIC:
        mode = fp[FCSR] >> 5 & 7
    return mode if mode <= _NEAREST_AWAY else None


# Arithmetic


def _quotient(a: float, b: float) -> float:
    if b:
        return a / b
    if math.isnan(a) or math.isnan(b) or not a:
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def _root(a: float, b: float) -> float:
    return math.nan if a < 0 else math.sqrt(a)


_ARITHMETIC: dict[int, Callable[[float, float], float]] = {
    0x00: lambda a, b: a + b, 0x01: lambda a, b: a - b, 0x02: lambda a, b: a * b, 0x03: _quotient, 0x0B: _root,
}  # fmt: skip
"""A double holds enough bits that rounding a result again to single gives what rounding once would give."""


def _arithmetic(kind: Format, word: int, x: list[int], fp: list[int]) -> bool:
    which = word >> 27
    if _rounding(word, fp) is None or (which == 0x0B and fields.rs2(word)):
        return False
    a, b = (kind.number(kind.raw(fp[source])) for source in (fields.rs1(word), fields.rs2(word)))
    fp[fields.rd(word)] = kind.register(kind.encode(_ARITHMETIC[which](a, b)))
    return True


def _fused(kind: Format, word: int, fp: list[int]) -> bool:
    """rs1 * rs2 + rs3, rounded once, with the signs that the opcode asks for."""
    if _rounding(word, fp) is None:
        return False
    opcode = word & 0x7F
    a, b, c = (kind.number(kind.raw(fp[source])) for source in (fields.rs1(word), fields.rs2(word), word >> 27))
    if opcode in (_NMSUB, _NMADD):
        a = -a
    if opcode in (_MSUB, _NMADD):
        c = -c
    fp[fields.rd(word)] = kind.register(_multiply_add(kind, a, b, c))
    return True


def _multiply_add(kind: Format, a: float, b: float, c: float) -> int:
    if not all(map(math.isfinite, (a, b, c))):
        # An infinite product must not come from finite factors that overflow.
        product = a * b if not (math.isfinite(a) and math.isfinite(b)) else math.copysign(1.0, a * b)
        return kind.encode(product + c)
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact:
        return kind.encode_exact(exact)
    return kind.encode(0.0 if a and b else a * b + c)


# Signs, minimum, comparison, class


def _inject_sign(kind: Format, word: int, x: list[int], fp: list[int]) -> bool:
    a, b, funct3 = kind.raw(fp[fields.rs1(word)]), kind.raw(fp[fields.rs2(word)]), fields.funct3(word)
    if funct3 > 2:
        return False
    sign = (b, ~b, a ^ b)[funct3] & kind.sign
    fp[fields.rd(word)] = kind.register(a & ~kind.sign | sign)
    return True


def _extreme(kind: Format, word: int, x: list[int], fp: list[int]) -> bool:
    """fmin and fmax: a number wins over not-a-number, and -0 is less than 0."""
    funct3 = fields.funct3(word)
    if funct3 > 1:
        return False
    raws = [kind.raw(fp[fields.rs1(word)]), kind.raw(fp[fields.rs2(word)])]
    numbers = [raw for raw in raws if not math.isnan(kind.number(raw))]
    choose = max if funct3 else min
    chosen = choose(numbers, key=lambda raw: (kind.number(raw), not raw & kind.sign), default=kind.nan)
    fp[fields.rd(word)] = kind.register(chosen)
    return True


_COMPARISONS: dict[int, Callable[[float, float], bool]] = {
    0: lambda a, b: a <= b, 1: lambda a, b: a < b, 2: lambda a, b: a == b,
}  # fmt: skip


def _compare(kind: Format, word: int, x: list[int], fp: list[int]) -> bool:
    comparison = _COMPARISONS.get(fields.funct3(word))
    if comparison is None:
        return False
    a, b = (kind.number(kind.raw(fp[source])) for source in (fields.rs1(word), fields.rs2(word)))
    x[fields.rd(word)] = int(comparison(a, b))
    return True


def _class_of(kind: Format, raw: int) -> int:
    """The bit number of fclass."""
    value = kind.number(raw)
    if math.isnan(value):
        return 8 if kind.is_signalling(raw) else 9
    size = 3 if math.isinf(value) else 0 if not value else 1 if kind.is_subnormal(raw) else 2
    return 3 - size if raw & kind.sign else 4 + size


# Moves and conversions


def _move_to_integer(kind: Format, word: int, x: list[int], fp: list[int]) -> bool:
    """fmv.x and fclass."""
    register, funct3 = fp[fields.rs1(word)], fields.funct3(word)
    if fields.rs2(word) or funct3 > 1:
        return False
    if funct3:
        x[fields.rd(word)] = 1 << _class_of(kind, kind.raw(register))
    else:
        x[fields.rd(word)] = register if kind is DOUBLE else _extended(register)
    return True


def _extended(value: int) -> int:
    """The low 32 bits, sign-extended to a word."""
    return (value & _LOW ^ 0x80000000) - 0x80000000 & WORD


def _move_from_integer(kind: Format, word: int, x: list[int], fp: list[int]) -> bool:
    if fields.rs2(word) or fields.funct3(word):
        return False
    fp[fields.rd(word)] = kind.register(x[fields.rs1(word)])
    return True


_ROUNDERS: dict[int, Callable[[float], int]] = {
    _NEAREST: round,
    _TOWARDS_ZERO: math.trunc,
    _DOWN: math.floor,
    _UP: math.ceil,
    _NEAREST_AWAY: lambda value: math.trunc(Fraction(value) + Fraction(1 if value > 0 else -1, 2)),
}


def _to_integer(kind: Format, word: int, x: list[int], fp: list[int]) -> bool:
    """fcvt to w, wu, l, lu: out of range gives the nearest end of the range, not-a-number the upper end."""
    target, mode = fields.rs2(word), _rounding(word, fp)
    if target > 3 or mode is None:
        return False
    bits, is_unsigned = 64 if target & 2 else 32, target & 1
    low, high = (0, (1 << bits) - 1) if is_unsigned else (-(1 << bits - 1), (1 << bits - 1) - 1)
    value = kind.number(kind.raw(fp[fields.rs1(word)]))
    if math.isfinite(value):
        result = min(max(_ROUNDERS[mode](value), low), high)
    else:
        result = low if value == -math.inf else high
    x[fields.rd(word)] = result & WORD if bits == 64 else _extended(result)
    return True


def _from_integer(kind: Format, word: int, x: list[int], fp: list[int]) -> bool:
    source = fields.rs2(word)
    if source > 3 or _rounding(word, fp) is None:
        return False
    bits = 64 if source & 2 else 32
    value = x[fields.rs1(word)] & (1 << bits) - 1
    if not source & 1:
        value -= value >> bits - 1 << bits
    fp[fields.rd(word)] = kind.register(kind.encode_exact(Fraction(value)))
    return True


def _between_formats(kind: Format, word: int, x: list[int], fp: list[int]) -> bool:
    source = _FORMATS.get(fields.rs2(word))
    if source is None or source is kind or _rounding(word, fp) is None:
        return False
    fp[fields.rd(word)] = kind.register(kind.encode(source.number(source.raw(fp[fields.rs1(word)]))))
    return True


_OPERATIONS: dict[int, Callable[[Format, int, list[int], list[int]], bool]] = {
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
    0x04: _inject_sign, 0x05: _extreme, 0x08: _between_formats, 0x14: _compare, 0x18: _to_integer,
    0x1A: _from_integer, 0x1C: _move_to_integer, 0x1E: _move_from_integer,
}  # fmt: skip
"""By funct5 (bits 31..27)."""
