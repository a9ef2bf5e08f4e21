"""ELF files: segments to load, the entry point, and symbols by name and by address.

``read_elf`` takes any 64-bit little-endian file, for a description is judged for boards of several architectures.
``read_program`` takes only what can be loaded and run here: a statically linked RISC-V program at fixed addresses.

Source: the System V ABI, chapters "Object Files" and "Program Loading"; the RISC-V ELF psABI.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import pairwise
from typing import Final, NamedTuple

from attrs import field, frozen

from capkernel.abi.objects import PAGE_BYTES, USER_TOP

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")

_MAGIC = b"\x7fELF"
_CLASS_64 = 2
_LITTLE_ENDIAN = 1
_KINDS = {1: "an object file, which was not linked yet", 3: "position independent", 4: "a core dump"}
_KIND_EXECUTABLE = 2
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_PF_X, _PF_W, _PF_R = 1, 2, 4
_SHT_SYMTAB = 2
_SHN_UNDEF = 0
_STT_NOTYPE, _STT_FUNC = 0, 2

EM_RISCV: Final = 243
_MACHINES = {3: "x86", 40: "Arm", 62: "x86-64", 183: "AArch64", EM_RISCV: "RISC-V"}


class ElfError(Exception):
    """The bytes are not the ELF file that is wanted; the message says why."""


@frozen
class ElfSymbol:
    """Where a symbol is and how many bytes it has."""

    value: int
    size: int


@frozen
class ElfSegment:
    """What is to be at ``vaddr``: ``data``, and zeros up to ``memory_size`` bytes."""

    vaddr: int
    data: bytes = field(repr=False)
    memory_size: int
    readable: bool = True
    writable: bool = False
    executable: bool = False

    @property
    def addresses(self) -> range:
        """Every address of it."""
        return range(self.vaddr, self.vaddr + self.memory_size)

    @property
    def pages(self) -> range:
        """The address of each page of 4 KiB that it touches."""
        first = self.vaddr & -PAGE_BYTES
        return range(first, self.vaddr + self.memory_size, PAGE_BYTES)

    def page(self, address: int) -> tuple[int, bytes]:
        """What the file puts into the page at ``address``: the offset in the page, and the bytes."""
        start = max(address, self.vaddr)
        return start - address, self.data[start - self.vaddr : address + PAGE_BYTES - self.vaddr]


class _Function(NamedTuple):
    """A name in the code. Sorted, the best name of an address comes last."""

    start: int
    is_function: bool
    is_global: bool
    size: int
    name: str


@frozen(slots=False)
class Elf:
    """A file. ``symbols`` by name, ``None`` when a name occurs twice; empty if the file has no symbol table."""

    entry: int
    machine: int
    kind: int
    """``e_type``: 2 is a program at fixed addresses."""
    segments: tuple[ElfSegment, ...]
    symbols: dict[str, ElfSymbol | None] = field(repr=False)
    is_dynamic: bool = False
    """Whether it wants a dynamic linker."""
    functions: tuple[_Function, ...] = field(default=(), repr=False)

    @cached_property
    def _starts(self) -> list[int]:
        return [function.start for function in self.functions]

    def symbol_at(self, address: int) -> tuple[str, int] | None:
        """The function that an address of the code lies in, and how far from its start."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or not any(segment.executable and address in segment.addresses for segment in self.segments):
            return None
        found, offset = self.functions[index], address - self.functions[index].start
        return None if found.size and offset >= found.size else (found.name, offset)


def read_elf(data: bytes) -> Elf:
    """Read a file for any machine; ``ElfError`` if it is no 64-bit little-endian ELF file or damaged."""
    try:
        return _read(data)
    except (struct.error, IndexError, ValueError):
        raise ElfError("it is cut short or damaged") from None


def read_program(data: bytes) -> Elf:
    """Read a program that can be loaded and run here; ``ElfError`` says why it is none."""
    elf = read_elf(data)
    problem = _program_problem(elf)
    if problem:
        raise ElfError(problem)
    return elf


def _program_problem(elf: Elf) -> str:
    """Why a file cannot be loaded and run here, or nothing."""
    if elf.machine != EM_RISCV:
        return f"it is for {_MACHINES.get(elf.machine, 'another machine')} (machine {elf.machine}), not for RISC-V"
    if elf.is_dynamic:
        return "it is dynamically linked; link it with -static"
    if elf.kind != _KIND_EXECUTABLE:
        kind = _KINDS.get(elf.kind, f"of an unknown kind ({elf.kind})")
        return f"it is {kind}; only a program that is linked to fixed addresses (-static -no-pie) can be loaded"
    if not elf.segments:
        return "it has nothing to load"
    ordered = sorted(elf.segments, key=lambda segment: segment.vaddr)
    for one, other in pairwise(ordered):
        if one.addresses.stop > other.vaddr:
            return f"its segments at {one.vaddr:#x} and {other.vaddr:#x} overlap"
    end = ordered[-1].addresses.stop
    if end > USER_TOP:
        return f"it ends at {end:#x}; user space ends at {USER_TOP:#x}"
    if elf.entry & 1 or not any(segment.executable and elf.entry in segment.addresses for segment in ordered):
        return f"its entry point {elf.entry:#x} is not in executable code"
    return ""


def _read(data: bytes) -> Elf:
    if data[:4] != _MAGIC:
        raise ElfError("it does not begin with the ELF magic number")
    if data[4] != _CLASS_64 or data[5] != _LITTLE_ENDIAN:
        raise ElfError("it is not 64-bit little-endian")
    header = _HEADER.unpack_from(data)
    kind, machine, _version, entry, phoff, shoff = header[1:7]
    phentsize, phnum, shentsize, shnum = header[9:13]
    if phnum == 0:
        raise ElfError("it has no program headers")
    programs = list(_entries(data, _PROGRAM_HEADER, phoff, phentsize, phnum))
    segments = tuple(_segment(data, row) for row in programs if row[0] == _PT_LOAD and row[6])
    symbols = _symbols(data, list(_entries(data, _SECTION_HEADER, shoff, shentsize, shnum)))
    return Elf(
        entry=entry, machine=machine, kind=kind, segments=segments, symbols=_by_name(symbols),
        is_dynamic=any(row[0] in (_PT_DYNAMIC, _PT_INTERP) for row in programs), functions=_functions(symbols),
    )  # fmt: skip


_Row = tuple[int, ...]
_NamedRow = tuple[str, _Row]


def _entries(data: bytes, layout: struct.Struct, offset: int, size: int, count: int) -> Iterator[_Row]:
    """The entries of a header table. Raises ValueError if they are smaller than they must be, or not all there."""
    if count and size < layout.size:
        raise ValueError
    for index in range(count):
        yield layout.unpack(_piece(data, offset + index * size, layout.size))


def _piece(data: bytes, offset: int, size: int) -> bytes:
    """A part of the file. Raises ValueError if it is not all there."""
    if offset + size > len(data):
        raise ValueError
    return data[offset : offset + size]


def _segment(data: bytes, row: _Row) -> ElfSegment:
    _kind, flags, offset, vaddr, _paddr, file_size, memory_size, _align = row
    if file_size > memory_size:
        raise ValueError
    content = _piece(data, offset, file_size)
    return ElfSegment(vaddr, content, memory_size, bool(flags & _PF_R), bool(flags & _PF_W), bool(flags & _PF_X))


def _symbols(data: bytes, sections: list[_Row]) -> list[_NamedRow]:
    """The last symbol table, each symbol with its name."""
    tables = [section for section in sections if section[1] == _SHT_SYMTAB]
    if not tables:
        return []
    table, strings = tables[-1], sections[tables[-1][6]]
    names = _piece(data, strings[4], strings[5])
    rows = _SYMBOL.iter_unpack(_piece(data, table[4], table[5]))
    return [(names[row[0] : names.index(b"\0", row[0])].decode(), row) for row in rows]


def _by_name(symbols: Iterable[_NamedRow]) -> dict[str, ElfSymbol | None]:
    found: dict[str, ElfSymbol | None] = {}
    for name, (_at, _info, _other, _section, value, size) in symbols:
        found[name] = None if name in found else ElfSymbol(value, size)
    return found


def _functions(symbols: Iterable[_NamedRow]) -> tuple[_Function, ...]:
    """Names of code. A label of assembly has no type; labels of the compiler (.L1) and of the psABI ($x) are no names.
    """
    found = []
    for name, (_at, info, _other, section, value, size) in symbols:
        kind = info & 15
        if kind in (_STT_FUNC, _STT_NOTYPE) and section != _SHN_UNDEF and name and name[0] not in ".$":
            found.append(_Function(value, kind == _STT_FUNC, bool(info >> 4), size, name))
    return tuple(sorted(found))
