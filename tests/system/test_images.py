"""Program images that are present are looked into; missing ones are no matter."""

import struct

import pytest

from capkernel.system.diagnostics import DescriptionError
from capkernel.system.microkit import loads

TEXT = """<system>
<memory_region name="mem" size="0x1000"/>
<protection_domain name="one"><program_image path="one.elf"{words}/>
<map mr="mem" vaddr="0x300000" setvar_vaddr="mem_at"/>
{more}
</protection_domain></system>"""


def check(tmp_path, words="", more=""):
    loads(TEXT.format(words=words, more=more), search_path=[tmp_path])


def elf(symbols, segment=(0x20_0000, 0x1000)):
    """A minimal ELF file with one loadable segment and those (name, size) symbols."""
    strings, table = b"\0", struct.pack("<IBBHQQ", 0, 0, 0, 0, 0, 0)
    for name, size in symbols:
        table += struct.pack("<IBBHQQ", len(strings), 0x11, 0, 1, segment[0], size)
        strings += name.encode() + b"\0"
    table_at = 64 + 56
    strings_at = table_at + len(table)
    sections_at = strings_at + len(strings)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        *(2, 243, 1, segment[0], 64, sections_at, 0, 64, 56, 1, 64, 3, 0),
    )
    program = struct.pack("<IIQQQQQQ", 1, 7, 0, segment[0], segment[0], 0, segment[1], 0x1000)
    sections = bytes(64)
    sections += struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, table_at, len(table), 2, 0, 8, 24)
    sections += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, strings_at, len(strings), 0, 0, 1, 0)
    return header + program + table + strings + sections


def test_a_missing_image_is_no_matter(tmp_path):
    check(tmp_path)


def test_an_elf_with_the_symbol(tmp_path):
    (tmp_path / "one.elf").write_bytes(elf([("mem_at", 8), ("other", 4)]))
    check(tmp_path)


@pytest.mark.parametrize(
    ("symbols", "reason"),
    [
        ([("other", 8)], "has no symbol 'mem_at'"),
        ([("mem_at", 4)], "of 4 bytes, but a word of 8 is set"),
        ([("mem_at", 8), ("mem_at", 8)], "several symbols 'mem_at'"),
    ],
)
def test_an_elf_without_it(tmp_path, symbols, reason):
    (tmp_path / "one.elf").write_bytes(elf(symbols))
    with pytest.raises(DescriptionError, match=reason) as refused:
        check(tmp_path)
    assert refused.value.diagnostics[0].line == 4


def test_symbols_may_come_from_another_file(tmp_path):
    (tmp_path / "one.elf").write_bytes(elf([]))
    (tmp_path / "one.sym").write_bytes(elf([("mem_at", 8)]))
    check(tmp_path, words=' path_for_symbols="one.sym"')


def test_a_map_over_the_program(tmp_path):
    (tmp_path / "one.elf").write_bytes(elf([("mem_at", 8)], segment=(0x30_0800, 0x10)))
    with pytest.raises(DescriptionError, match="overlaps with the program of 'one'"):
        check(tmp_path)


def test_no_elf_at_all(tmp_path):
    whole = elf([("mem_at", 8)])
    for data, reason in (
        (b"#!/bin/sh", "ELF magic number"),
        (b"\x7fELF\x01\x01" + bytes(60), "not 64-bit"),
        (whole[:-70], "cut short or damaged"),
    ):
        (tmp_path / "one.elf").write_bytes(data)
        with pytest.raises(DescriptionError, match=reason):
            check(tmp_path)


def test_a_python_program_in_place_of_an_elf(tmp_path):
    program = tmp_path / "one.py"
    program.write_text("mem_at: int\nother = 1\n")
    check(tmp_path)
    with pytest.raises(DescriptionError, match="has no symbol 'other'"):
        check(tmp_path, more='<irq irq="1" id="1" setvar_id="other"/>')
    program.write_text("def broken(:")
    with pytest.raises(DescriptionError, match="is not a Python program"):
        check(tmp_path)


def test_an_address_of_no_region_is_refused_when_it_would_be_set(tmp_path):
    more = '<setvar symbol="mem_phys" region_paddr="gone"/>'
    check(tmp_path, more=more)
    (tmp_path / "one.elf").write_bytes(elf([("mem_at", 8), ("mem_phys", 8)]))
    with pytest.raises(DescriptionError, match="there is no memory region 'gone'"):
        check(tmp_path, more=more)


def install(place, monkeypatch, name, module):
    """A package that offers a program."""
    meta = place / "offering-1.dist-info"
    meta.mkdir(exist_ok=True)
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: offering\nVersion: 1\n")
    (meta / "entry_points.txt").write_text(f"[capkernel.programs]\n{name} = {module}\n")
    monkeypatch.syspath_prepend(str(place))


def test_what_is_not_on_the_search_path_is_an_installed_program(tmp_path, monkeypatch):
    (tmp_path / "offered").mkdir()
    (tmp_path / "offered" / "driver.py").write_text("raise SystemError('it is not executed')\nmem: int = 0\n")
    install(tmp_path, monkeypatch, "one", "offered.driver")
    with pytest.raises(DescriptionError, match=r"driver.py has no symbol 'mem_at'"):
        check(tmp_path / "nowhere")
    (tmp_path / "one.py").write_text("mem_at: int = 0\n")
    check(tmp_path)


@pytest.mark.parametrize("module", ["offered.nothing", "nobody.driver", "sys"])
def test_an_entry_point_that_leads_to_no_program_is_as_good_as_none(tmp_path, monkeypatch, module):
    (tmp_path / "offered").mkdir()
    install(tmp_path, monkeypatch, "one", module)
    check(tmp_path / "nowhere")
