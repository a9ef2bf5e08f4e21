"""Which kind of file is which, and what a command says that is given another than it takes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer import Typer
from typer.testing import CliRunner, Result

from capkernel.tools.boot.command import boot
from capkernel.tools.capdl.command import capdl
from capkernel.tools.check import check
from capkernel.tools.kinds import Kind, is_another, kind_of
from capkernel.tools.run import run

TEXTS = {
    Kind.SYSTEM: b"\xef\xbb\xbf<!-- a pair -->\n<system />",
    Kind.PROGRAM: b"\x7fELF junk",
    Kind.CAPDL: b"-- threads\n/* and\ntime */ arch riscv\nobjects { }",
    Kind.PYTHON: b"print('arch riscv')\n",
}
NAMES = {Kind.SYSTEM: "x.system", Kind.PROGRAM: "x.elf", Kind.CAPDL: "x.cdl", Kind.PYTHON: "x.py"}


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_is_known_by_its_first_bytes_whatever_the_name(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / ("x.py" if kind is Kind.PYTHON else "x")
    path.write_bytes(TEXTS[kind])
    assert kind_of(path) is kind
    assert is_another(path, kind) == ""


@given(st.binary(max_size=200))
def test_what_is_none_of_these_is_left_to_who_reads_it(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("kinds") / "x"
    path.write_bytes(b"#" + data)
    assert kind_of(path) is None
    assert kind_of(path.parent) is None
    assert not any(is_another(path, kind) for kind in Kind)


def invoke(words: list[str]) -> Result:
    app = Typer()
    for command in (run, check, boot, capdl):
        app.command()(command)
    return CliRunner().invoke(app, words)


TAKES = {
    ("run",): Kind.SYSTEM, ("check",): Kind.SYSTEM, ("capdl", "export"): Kind.SYSTEM, ("boot",): Kind.PROGRAM,
    ("capdl", "check"): Kind.CAPDL, ("capdl", "print"): Kind.CAPDL, ("capdl", "boot"): Kind.CAPDL,
}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "given_kind"), [(words, kind) for words, wanted in TAKES.items() for kind in Kind if kind is not wanted]
)
def test_a_command_that_is_given_another_kind_says_what_it_is(
    words: tuple[str, ...], given_kind: Kind, tmp_path: Path
) -> None:
    path = tmp_path / NAMES[given_kind]
    path.write_bytes(TEXTS[given_kind])
    done = invoke([*words, str(path)])
    assert done.exit_code == 2
    said = " ".join(done.stderr.replace("│", " ").split())
    assert given_kind.value.split(":")[0] in said


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_description_for_another_machine_says_which(command: str) -> None:
    done = invoke([command, "console"])
    assert done.exit_code == 1
    assert "is valid for another machine: --board virt_iommu or virt_sifive" in done.stderr


def test_one_that_is_wrong_for_every_machine_does_not(tmp_path: Path) -> None:
    path = tmp_path / "x.system"
    path.write_text("<system />")
    assert "--board" not in invoke(["run", str(path)]).stderr


def test_a_description_that_is_not_there_is_said_in_words() -> None:
    done = invoke(["run", "nosuch.system"])
    assert done.exit_code == 2
    assert done.stderr == "capkernel run: nosuch.system cannot be read: No such file or directory\n"
