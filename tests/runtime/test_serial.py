"""Input on the serial line of a described system: from a file, a pipe, or nothing that anybody reads."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from capkernel.runtime.serial import SerialInput
from capkernel.tools.run import run as run_command

EXAMPLES = Path(__file__).parents[2] / "examples"
ECHO = EXAMPLES / "echo" / "echo.system"
LINES = "".join(f"line {n} of a file that is longer than the receiver\n" for n in range(20))


def run(system: Path, *words: str) -> tuple[int, dict[str, Any]]:
    app = typer.Typer()
    app.command()(run_command)
    result = CliRunner().invoke(app, [str(system), "--json", *words])
    return result.exit_code, json.loads(result.stdout) if result.exit_code == 0 else {"error": result.stderr}


@pytest.fixture
def typed(tmp_path: Path) -> str:
    path = tmp_path / "typed.txt"
    path.write_text(LINES)
    return str(path)


def test_a_driver_reads_a_file_to_its_end(typed: str) -> None:
    status, report = run(ECHO, "--input", typed)
    assert (status, report["stopped"]) == (0, "idle")
    assert report["uart"] == "say something\n" + LINES.upper()


def test_the_same_input_gives_the_same_run(typed: str, tmp_path: Path) -> None:
    hashes = [run(ECHO, "--input", typed)[1]["trace_hash"] for _ in range(2)]
    (tmp_path / "typed.txt").write_text(LINES.replace("3", "three"))
    hashes.append(run(ECHO, "--input", typed)[1]["trace_hash"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_system_that_reads_nothing_ends_all_the_same(typed: str) -> None:
    status, report = run(EXAMPLES / "hello.system", "--input", typed)
    assert (status, report["stopped"]) == (0, "idle")


def test_time_ends_a_run_that_waits_for_input(typed: str) -> None:
    status, report = run(ECHO, "--input", typed, "--time", "5")
    assert (status, report["stopped"]) == (0, "time")
    assert LINES.upper().startswith(report["uart"].removeprefix("say something\n"))


@pytest.mark.parametrize("place", ["/nonexistent", "/tmp"])
def test_input_that_cannot_be_read_is_wrong_usage(place: str) -> None:
    status, report = run(ECHO, "--input", place)
    assert status == 2
    assert f"the input cannot be read: {place}: " in report["error"]


def test_a_pipe_is_read_when_something_is_in_it() -> None:
    reader, writer = os.pipe()
    source = SerialInput(reader)
    assert source.read(16) == b""
    os.write(writer, b"hello")
    assert (source.read(3), source.read(16)) == (b"hel", b"lo")
    assert not source.ended
    os.close(writer)
    source.wait()
    assert (source.read(16), source.ended) == (b"", True)
    os.close(reader)
