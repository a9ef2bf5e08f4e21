"""The shell's system on another board: by what is laid over its description alone, with the same programs and files."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from capkernel.system.board import find_board
from capkernel.system.description import SystemDescription
from capkernel.system.extensions import load_extensions
from capkernel.system.microkit import load
from capkernel.tools.demo.stage import BOARD, find_system
from capkernel.tools.overlay import lay_over
from capkernel.tools.shell import ON, USAGE, boards, shell
from hwmodel.board import BOARDS

SESSION = Path(__file__).parents[2] / "examples" / "shell" / "processes.script"
OTHER = "virt_sifive"
TIME = re.compile(r"\d+\.\d{3,}|\b\d+ +\d+ +\d+ %")
"""Moments, and shares of the processor."""


def played(place: Path, script: str, *options: str) -> str:
    """What the shell puts out for the lines of a script."""
    lines = place / "script"
    lines.write_text(script)
    command = [sys.executable, "-m", "capkernel", "shell", "--seed", "1", "--script", str(lines), *options]
    run = subprocess.run(command, capture_output=True, timeout=120, check=True)
    return re.sub(r"[^\n]*\x1b\[K", "", run.stdout.decode().replace("\r", ""))


def test_there_are_two_boards_and_another_one_is_refused() -> None:
    assert boards() == [BOARD, OTHER]
    assert set(boards()) < set(BOARDS)
    app = Typer()
    app.command()(shell)
    result = CliRunner().invoke(app, ["--script", "/dev/null", "--board", "qemu_virt_riscv64"])
    assert result.exit_code == USAGE
    assert f"this system runs on {BOARD} and {OTHER}" in result.output


@pytest.mark.slow
def test_a_session_goes_the_same_way_on_either_board(tmp_path: Path) -> None:
    first, second = (played(tmp_path, SESSION.read_text(), "--board", board) for board in boards())
    assert "life 2 has begun" in first
    # When what runs in the background puts something out is a matter of microseconds.
    assert sorted(TIME.sub("#", first).splitlines()) == sorted(TIME.sub("#", second).splitlines())


def test_files_move_from_one_board_to_the_other(tmp_path: Path) -> None:
    image = ("--disk", str(tmp_path / "image"))
    played(tmp_path, "mkdir d\nwrite d/a from here to there\nkill disk\nkill console\nkill timer\n", *image)
    said = played(
        tmp_path, "cat d/a\nkill disk\nkill console\nkill timer\nwrite d/b and back\n", "--board", OTHER, *image
    )
    assert "from here to there" in said
    assert said.count("life 1 ended, life 2 has begun") == 3
    assert "and back" in played(tmp_path, "cat d/b\naudit 1\n", *image)


def test_a_mirror_works_on_the_other_board_as_well(tmp_path: Path) -> None:
    images = ("--disk", str(tmp_path / "one"), "--mirror", str(tmp_path / "two"))
    played(tmp_path, "write a twice\n", *images)
    said = played(tmp_path, "cat a\nkill disk2\nmounts\n", "--board", OTHER, *images)
    assert "twice" in said
    assert "disk2: life 1 ended, life 2 has begun" in said
    assert "the disk is a mirror" in said


def test_only_devices_and_the_drivers_of_two_are_others(tmp_path: Path) -> None:
    path = find_system("os")
    laid = lay_over(path, path.parent / f"{ON}{OTHER}", tmp_path)
    systems = [
        load(file, search_path=[file.parent, path.parent], board=find_board(board))
        for file, board in ((path, BOARD), (laid, OTHER))
    ]
    first, second = (said(system) for system in systems)
    others = {name for name, domain in first["domains"].items() if domain != second["domains"][name]}
    assert others == {"card", "disk", "entropy", "timer", "rtc", "console"}
    programs = {name for name, (program, _, _) in first["domains"].items() if program != second["domains"][name][0]}
    assert programs == {"console", "timer"}
    assert first["maps"] == second["maps"]
    assert first["channels"] == second["channels"]
    grants = [load_extensions(file, system).grants for file, system in zip((path, laid), systems, strict=True)]
    assert grants[0] == grants[1]


def said(system: SystemDescription) -> dict[str, Any]:
    return {
        "domains": {
            pd.name: (pd.program.path, [irq.number for irq in pd.irqs], pd.scheduling)
            for pd in system.protection_domains
        },
        "maps": {pd.name: pd.maps for pd in system.protection_domains},
        "channels": system.channels,
    }
