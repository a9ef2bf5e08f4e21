"""The little of ELF that a description needs: symbols with their sizes, loadable segments.

Source: the System V ABI, chapter "Object Files", 64-bit little-endian.
"""

import struct
from collections.abc import Iterator

from attrs import frozen

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")

_MAGIC = b"\x7fELF"
_CLASS_64 = 2
_LITTLE_ENDIAN = 1
_PT_LOAD = 1
_SHT_SYMTAB = 2
_PAGE = 0x1000


class ElfError(Exception):
    """The bytes are not a 64-bit little-endian ELF file with symbols; the message says why."""


@frozen
class ElfSymbol:
    """Where a symbol is and how many bytes it has."""

    value: int
    size: int


@frozen
class Elf:
    """``symbols`` by name (``None`` when a name occurs twice) and page-rounded ``segments``."""

    symbols: dict[str, ElfSymbol | None]
    segments: tuple[range, ...]


def read_elf(data: bytes) -> Elf:
    """Symbols and loadable segments; ``ElfError`` when the file has not got them."""
    try:
        return _read(data)
    except (struct.error, IndexError, ValueError):
        raise ElfError("it is cut short or damaged") from None


def _read(data: bytes) -> Elf:
    if data[:4] != _MAGIC:
        raise ElfError("it does not begin with the ELF magic number")
    if data[4] != _CLASS_64 or data[5] != _LITTLE_ENDIAN:
        raise ElfError("it is not 64-bit little-endian")
    header = _HEADER.unpack_from(data)
    phoff, shoff = header[5:7]
    phentsize, phnum, shentsize, shnum = header[9:13]
    if phnum == 0:
        raise ElfError("it has no program headers")
    segments = tuple(_segments(data, phoff, phentsize, phnum))
    sections = [_SECTION_HEADER.unpack_from(data, shoff + i * shentsize) for i in range(shnum)]
    tables = [section for section in sections if section[1] == _SHT_SYMTAB]
    if not tables:
        raise ElfError("it has no symbol table")
    table = tables[-1]
    strings = sections[table[6]]
    names = data[strings[4] : strings[4] + strings[5]]
    return Elf(_symbols(data[table[4] : table[4] + table[5]], names), segments)


def _segments(data: bytes, offset: int, entry_size: int, count: int) -> Iterator[range]:
    for index in range(count):
        entry = _PROGRAM_HEADER.unpack_from(data, offset + index * entry_size)
        kind, start, size = entry[0], entry[3], entry[6]
        if kind == _PT_LOAD and size:
            yield range(start, start + -(-size // _PAGE) * _PAGE)


def _symbols(table: bytes, names: bytes) -> dict[str, ElfSymbol | None]:
    symbols: dict[str, ElfSymbol | None] = {}
    for name_at, _info, _other, _section, value, size in _SYMBOL.iter_unpack(table):
        name = names[name_at : names.index(b"\0", name_at)].decode()
        symbols[name] = None if name in symbols else ElfSymbol(value, size)
    return symbols
