"""The command ``run`` with programs of machine code: what is refused, with the place and the file."""

import json
import re
import sys
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from capkernel.tools.run import run as run_command
from tests.crosscompiler import needs_compiler
from tests.runtime.pdelf import EXAMPLES, build_examples, pd_elf
from tests.system.elffiles import BASE, Segment, elf_file

SYSTEM = """<system>
<memory_region name="mem" size="0x1000"/>
<protection_domain name="main" priority="100">
    <program_image path="main.elf" />{}
</protection_domain>
</system>
"""


def run(*words: str) -> Result:
    app = typer.Typer()
    app.command()(run_command)
    return CliRunner().invoke(app, list(words))


def run_program(place: Path, program: bytes, more: str = "") -> Result:
    (place / "main.elf").write_bytes(program)
    (place / "t.system").write_text(SYSTEM.format(more))
    return run(str(place / "t.system"), "--json")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (pd_elf(machine=183), r"main\.elf cannot be loaded: it is for AArch64 \(machine 183\), not for RISC-V"),
        (pd_elf(kind=3), r"main\.elf cannot be loaded: it is position independent"),
        (pd_elf(entry=BASE + 0x800), r"main\.elf cannot be loaded: its entry point 0x200800 is not in executable code"),
        (pd_elf()[:-20], r"main\.elf is not an ELF program for a 64-bit machine: it is cut short or damaged"),
        (b"!<arch>\n", r"main\.elf is not an ELF program .* ELF magic number"),
        (elf_file(symbols=None), r"main\.elf is not an ELF program .* no symbol table"),
        (elf_file(), r"main\.elf cannot be loaded: it has no symbol 'microkit_name'; is it linked with libmicrokit\?"),
        (pd_elf(drop="microkit_pps"), r"main\.elf cannot be loaded: it has no symbol 'microkit_pps'"),
        (elf_file([Segment(), Segment(BASE + 0x100)]), r"0x200000 and 0x200100 share a page"),
        (pd_elf(bss=1 << 33), r"main: with its program, .* take \d+ pages of RAM, and this machine has"),
        (elf_file([Segment(), Segment(0x3F_FFFF_C000)]), r"it ends at 0x3fffffc004, in the stack"),
    ],
)
def test_a_program_that_cannot_be_loaded_is_refused(tmp_path: Path, program: bytes, reason: str) -> None:
    result = run_program(tmp_path, program)
    assert (result.exit_code, result.stdout) == (1, "")
    place, _, message = result.stderr.partition(": ")
    assert place == f"{tmp_path}/t.system:4:5"
    assert re.search(reason, message)


def test_a_symbol_that_older_libraries_have_not_got_is_not_missed(tmp_path: Path) -> None:
    pytest.importorskip("unicorn")
    assert run_program(tmp_path, pd_elf(drop="microkit_ioports")).exit_code == 0


@pytest.mark.parametrize("vaddr", [0x200000, 0x201000])
def test_a_map_over_the_program_is_refused(tmp_path: Path, vaddr: int) -> None:
    result = run_program(tmp_path, pd_elf(), f'\n    <map mr="mem" vaddr="{vaddr:#x}" perms="r" />')
    assert result.exit_code == 1
    assert "t.system:5:5: 'mem' at" in result.stderr
    assert "overlaps with the program of 'main'" in result.stderr


def test_without_the_emulator_the_run_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "unicorn", None)
    result = run_program(tmp_path, pd_elf())
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{tmp_path}/t.system:4:5: main: ")
    assert "pip install 'capkernel[riscv]'" in result.stderr


@needs_compiler
def test_the_serial_driver_in_c_answers_as_the_one_in_python(tmp_path: Path) -> None:
    pytest.importorskip("unicorn")
    typed = tmp_path / "typed"
    typed.write_text("hello there\nand again: 123\n")
    words = (str(EXAMPLES / "echo" / "echo.system"), "--json", "--input", str(typed))
    python = json.loads(run(*words).stdout)
    native = json.loads(run(*words, "--search-path", str(build_examples(tmp_path / "built"))).stdout)
    assert native["uart"] == python["uart"] == "say something\nHELLO THERE\nAND AGAIN: 123\n"
    assert native["faults"] == native["crashes"] == []
    assert native["trace_hash"] != python["trace_hash"]
