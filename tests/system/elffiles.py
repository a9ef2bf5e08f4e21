"""ELF files made by hand, so that each of their fields can be wrong."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from capkernel.system.elf import EM_RISCV

R, W, X = 4, 2, 1
LOAD, DYNAMIC, INTERP = 1, 2, 3
NOTYPE, OBJECT, FUNC = 0, 1, 2
BASE = 0x20_0000
SPIN = bytes.fromhex("6f000000")
"""j ."""


@dataclass(frozen=True)
class Segment:
    """A program header and the bytes that it leads to."""

    vaddr: int = BASE
    data: bytes = SPIN
    memory_size: int | None = None
    flags: int = R | X
    kind: int = LOAD


@dataclass(frozen=True)
class Symbol:
    """A row of the symbol table."""

    name: str
    value: int
    size: int = 0
    kind: int = NOTYPE
    section: int = 1


def elf_file(
    segments: Sequence[Segment] = (Segment(),), symbols: Sequence[Symbol] | None = (), *, entry: int = BASE,
    kind: int = 2, machine: int = EM_RISCV, ident: bytes = b"\x7fELF\x02\x01\x01",
) -> bytes:  # fmt: skip
    """The bytes of a file; without a symbol table if ``symbols`` is None."""
    content_at = 64 + 56 * len(segments)
    headers, content = b"", b""
    for segment in segments:
        size = len(segment.data) if segment.memory_size is None else segment.memory_size
        headers += struct.pack(
            "<IIQQQQQQ", segment.kind, segment.flags, content_at + len(content), segment.vaddr, segment.vaddr,
            len(segment.data), size, 0x1000,
        )  # fmt: skip
        content += segment.data
    strings, table = b"\0", bytes(24)
    for symbol in symbols or ():
        table += struct.pack("<IBBHQQ", len(strings), 16 | symbol.kind, 0, symbol.section, symbol.value, symbol.size)
        strings += symbol.name.encode() + b"\0"
    table_at = content_at + len(content)
    sections_at, count = table_at + len(table) + len(strings), 3
    sections = bytes(64) + struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, table_at, len(table), 2, 0, 8, 24)
    sections += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, table_at + len(table), len(strings), 0, 0, 1, 0)
    if symbols is None:
        sections_at, count, table, strings, sections = 0, 0, b"", b"", b""
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", ident, kind, machine, 1, entry, 64, sections_at, 0, 64, 56, len(segments), 64, count, 0
    )
    return header + headers + content + table + strings + sections
