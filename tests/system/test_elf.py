"""ELF files: what is read of them, and what is refused."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.abi.objects import USER_TOP
from capkernel.system.elf import ElfError, ElfSegment, ElfSymbol, read_elf, read_program
from tests.crosscompiler import CROSS, needs_compiler
from tests.system.elffiles import BASE, DYNAMIC, FUNC, INTERP, NOTYPE, OBJECT, SPIN, R, Segment, Symbol, W, elf_file


def test_segments_entry_point_and_symbols() -> None:
    data = elf_file(
        [Segment(), Segment(BASE + 0x1000, b"words", 0x2000, R | W)],
        [Symbol("main", BASE, 4, FUNC), Symbol("buffer", BASE + 0x1008, 8, OBJECT)],
    )
    program = read_program(data)
    assert program.entry == BASE
    assert program.segments == (
        ElfSegment(BASE, SPIN, 4, readable=True, writable=False, executable=True),
        ElfSegment(BASE + 0x1000, b"words", 0x2000, readable=True, writable=True, executable=False),
    )
    assert program.symbols["buffer"] == ElfSymbol(BASE + 0x1008, 8)


def test_a_file_without_symbols_can_be_loaded() -> None:
    program = read_program(elf_file(symbols=None))
    assert (program.symbols, program.symbol_at(BASE)) == ({}, None)
    assert program.segments[0].data == SPIN


def test_a_name_that_occurs_twice_stands_for_nothing() -> None:
    assert read_elf(elf_file(symbols=[Symbol("x", 1), Symbol("x", 2)])).symbols["x"] is None


def test_the_pages_of_a_segment_and_what_is_in_each() -> None:
    data = bytes(range(256)) * 17
    segment = ElfSegment(0x20_0F00, data, 0x2200)
    assert list(segment.pages) == [0x20_0000, 0x20_1000, 0x20_2000, 0x20_3000]
    loaded = bytearray(0x4000)
    for index, page in enumerate(segment.pages):
        offset, content = segment.page(page)
        assert offset + len(content) <= 0x1000
        loaded[index * 0x1000 + offset : index * 0x1000 + offset + len(content)] = content
    assert loaded == (bytes(0xF00) + data).ljust(0x4000, b"\0")


def test_an_address_of_the_code_has_a_name() -> None:
    symbols = [
        Symbol("first", BASE + 0x10, 0x20, FUNC),
        Symbol("alias", BASE + 0x10),
        Symbol(".L1", BASE + 0x18),
        Symbol("$x", BASE + 0x1C),
        Symbol("label", BASE + 0x40),
        Symbol("imported", BASE + 0x44, section=0),
        Symbol("words", BASE + 0x48, 8, OBJECT),
        Symbol("data_label", BASE + 0x1000, 0, NOTYPE),
    ]
    program = read_elf(elf_file([Segment(data=bytes(0x80)), Segment(BASE + 0x1000, bytes(8), flags=R | W)], symbols))
    named = {offset: program.symbol_at(BASE + offset) for offset in (0x0, 0x10, 0x2F, 0x30, 0x40, 0x7F, 0x80, 0x1000)}
    assert named == {
        0x0: None, 0x10: ("first", 0), 0x2F: ("first", 0x1F), 0x30: None, 0x40: ("label", 0), 0x7F: ("label", 0x3F),
        0x80: None, 0x1000: None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"#!/bin/sh\n", "ELF magic number"),
        (b"", "ELF magic number"),
        (elf_file(ident=b"\x7fELF\x01\x01\x01"), "not 64-bit"),
        (elf_file(ident=b"\x7fELF\x02\x02\x01"), "not 64-bit little-endian"),
        (elf_file([]), "no program headers"),
        (elf_file()[:100], "cut short or damaged"),
        (elf_file()[:-1], "cut short or damaged"),
        (elf_file([Segment(data=bytes(8), memory_size=4)]), "damaged"),
    ],
)
def test_no_elf_file_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ElfError, match=reason):
        read_elf(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (elf_file(machine=62), r"for x86-64 \(machine 62\), not for RISC-V"),
        (elf_file(machine=9999), "for another machine"),
        (elf_file(kind=1), "object file, which was not linked yet"),
        (elf_file(kind=3), "position independent; .* -no-pie"),
        (elf_file(kind=77), "of an unknown kind"),
        (elf_file([Segment(), Segment(kind=DYNAMIC)]), "dynamically linked"),
        (elf_file([Segment(), Segment(kind=INTERP)], kind=3), "dynamically linked"),
        (elf_file([Segment(kind=6)]), "nothing to load"),
        (elf_file([Segment(data=b"")]), "nothing to load"),
        (elf_file([Segment(), Segment(BASE + 2)]), "segments at 0x200000 and 0x200002 overlap"),
        (elf_file([Segment(), Segment(USER_TOP - 4, bytes(8))]), "user space ends at"),
        (elf_file([Segment(), Segment((1 << 64) - 4, bytes(8))]), "user space ends at"),
        (elf_file(entry=BASE + 4), "entry point 0x200004 is not in executable code"),
        (elf_file(entry=BASE + 1), "entry point"),
        (elf_file([Segment(flags=R | W)]), "entry point"),
    ],
)
def test_what_cannot_be_run_here_is_refused_but_can_be_read(data: bytes, reason: str) -> None:
    read_elf(data)
    with pytest.raises(ElfError, match=reason):
        read_program(data)


@given(st.data())
def test_damaged_files_are_refused_or_read_but_nothing_else(data: st.DataObject) -> None:
    whole = bytearray(elf_file([Segment(), Segment(BASE + 0x1000, b"x", 9, R | W)], [Symbol("main", BASE, 4, FUNC)]))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(4, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        program = read_program(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except ElfError:
        return
    assert all(len(segment.data) <= segment.memory_size for segment in program.segments)
    program.symbol_at(program.entry)


@pytest.mark.parametrize("at", [32, 40], ids=["program headers", "section headers"])
def test_headers_beyond_any_file_are_damage(at: int) -> None:
    data = bytearray(elf_file(symbols=[Symbol("main", BASE)]))
    data[at : at + 8] = ((1 << 64) - 1).to_bytes(8, "little")
    with pytest.raises(ElfError, match="cut short or damaged"):
        read_program(bytes(data))


@needs_compiler
def test_what_a_compiler_makes(tmp_path: Path) -> None:
    source, linked = tmp_path / "tiny.c", tmp_path / "tiny.elf"
    code = "void _start(void) { words[0]++; zeros[0]++; for (;;) ; }"
    source.write_text(f"int words[3000] = {{1}}; int zeros[5000]; {code}\n")
    flags = ["-nostdlib", "-ffreestanding", "-O1", "-mcmodel=medany"]
    subprocess.run([f"{CROSS}gcc", *flags, "-static", "-no-pie", source, "-o", linked], check=True)
    program = read_program(linked.read_bytes())
    assert program.symbol_at(program.entry + 2) == ("_start", 2)
    words = program.symbols["words"]
    assert words is not None
    (holder,) = [segment for segment in program.segments if words.value in segment.addresses]
    assert holder.data[words.value - holder.vaddr] == 1
    assert holder.writable
    assert not holder.executable
    assert holder.memory_size - len(holder.data) >= 20000
    subprocess.run([f"{CROSS}gcc", *flags, "-c", source, "-o", linked], check=True)
    with pytest.raises(ElfError, match="no program headers"):
        read_program(linked.read_bytes())
