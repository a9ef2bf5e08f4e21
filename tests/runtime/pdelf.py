"""Protection domains of machine code for tests: by hand, and from the examples in C where there is a compiler."""

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.crosscompiler import CROSS
from tests.system.elffiles import BASE, FUNC, OBJECT, R, Segment, Symbol, W, X, elf_file

DATA = BASE + 0x1000
BSS = DATA + 0x100
EXAMPLES = Path(__file__).parents[2] / "examples"

# Instructions
ECALL = 0x73
STORE_TO_CODE = 0x00052023
"""sw zero, 0(a0)"""
JUMP_TO_A0 = 0x00050067
FLOATING = 0xF2000053
"""fmv.d.x f0, zero"""


def load_immediate(register: int, value: int) -> list[int]:
    """lui and addiw; a number of 32 bits."""
    low = (value & 0xFFF) - (value << 1 & 0x1000)
    upper = (value - low) & 0xFFFFF000
    return [upper | register << 7 | 0x37, (low & 0xFFF) << 20 | register << 15 | register << 7 | 0x1B]


def syscall(number: int, a0: int, a6: int = 0) -> list[int]:
    """A system call with the registers that count here."""
    values = {17: number, 10: a0, 11: 0, 16: a6}
    return [*(word for register, value in values.items() for word in load_immediate(register, value)), ECALL]


SAY_AND_WAIT = [*syscall(-12, ord("!")), *syscall(-7, 1, 4)]
"""Print an exclamation mark, and wait for what never comes."""


def pd_elf(
    code: Sequence[int] = SAY_AND_WAIT, *, more: Sequence[Symbol] = (), drop: str = "", bss: int = 0x800, **fields: int
) -> bytes:
    """A program as libmicrokit would make it: code, and the loader's symbols in a page of data, some beyond the file.

    ``drop`` leaves a symbol out; ``bss`` is the size of the data in memory; ``fields`` are fields of the ELF header.
    """
    sizes = {"microkit_name": 64, "microkit_passive": 1}
    names = ("name", "passive", "irqs", "notifications", "pps", "ioports")
    symbols = [Symbol("main", BASE, 4 * len(code), FUNC)]
    for index, name in enumerate(f"microkit_{name}" for name in names):
        symbols.append(Symbol(name, (DATA if index < 3 else BSS) + 0x40 * index, sizes.get(name, 8), OBJECT))
    segments = [Segment(BASE, struct.pack(f"<{len(code)}I", *code), flags=R | X)]
    segments.append(Segment(DATA, bytes(0x90), bss, flags=R | W))
    return elf_file(segments, [s for s in [*symbols, *more] if s.name != drop], **fields)


def build_examples(into: Path) -> Path:
    """Build the protection domains in C; where they are then."""
    command = ["make", "--silent", "-C", str(EXAMPLES / "c" / "pd"), f"BUILD={into}", f"CROSS={CROSS}"]
    subprocess.run(command, check=True)
    return into
