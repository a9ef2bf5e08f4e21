"""64-bit words: the only integers that cross the kernel's boundary."""

from typing import Final

WORD_BITS: Final = 64
WORD_BYTES: Final = 8
WORD_MASK: Final = (1 << 64) - 1

BIT: Final[tuple[int, ...]] = tuple(1 << bit for bit in range(65))
"""``BIT[n]`` is 2**n. A table, because a compiled ``1 << n`` of machine integers is a 32-bit shift."""

MASK: Final[tuple[int, ...]] = tuple((1 << bit) - 1 for bit in range(65))
"""``MASK[n]`` has the n low bits set."""


def align_up(value: int, bits: int) -> int:
    """The least multiple of 2**``bits`` that is not below ``value``."""
    return (value + MASK[bits]) & ~MASK[bits]


def align_down(value: int, bits: int) -> int:
    """The greatest multiple of 2**``bits`` that is not above ``value``."""
    return value & ~MASK[bits]


def signed(word: int) -> int:
    """The word read as a two's complement number (system call numbers are negative)."""
    return word - (1 << 64) if word >> 63 else word
