"""``capkernel fuzz``: it finds what is planted, goes on from a record, and says what it has seen."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from capkernel.tools.stopping import STOPPED
from specs.fuzz.campaign import ROUND, Plan
from specs.fuzz.command import USAGE, WRONG
from specs.fuzz.command import fuzz as command


def fuzz(*arguments: object) -> Result:
    """Run the command in this process; its workers are others."""
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def told(*arguments: object) -> tuple[int, dict[str, Any]]:
    result = fuzz("--json", *arguments)
    assert result.exit_code != USAGE, result.output
    data: dict[str, Any] = json.loads(result.stdout)
    return result.exit_code, data


@pytest.mark.parametrize(
    "row",
    ["S6", *(pytest.param(row, marks=pytest.mark.campaign) for row in ("S1", "S5", "S12", "S13", "S43"))],
)  # fmt: skip
def test_a_planted_bug_is_found_and_shrunk_to_a_program_that_runs(row: str, tmp_path: Path) -> None:
    status, data = told("--plant", row, "--out", tmp_path / "shown.py")
    assert status == WRONG
    assert data["found"]["operations"] <= 15
    assert run_script(tmp_path / "shown.py").returncode == 1
    lines = (tmp_path / "shown.py").read_text().splitlines()
    (tmp_path / "sound.py").write_text("\n".join(line for line in lines if not line.startswith("plant(")))
    sound = run_script(tmp_path / "sound.py")
    assert (sound.returncode, "All invariants hold." in sound.stdout) == (0, True)


def run_script(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)


def test_the_clean_kernel_shows_nothing_and_says_what_was_seen() -> None:
    status, data = told("--steps", 300, "--check", "sample:7", "--engine", "hypothesis")
    assert status == 0
    assert data["found"] is None
    assert data["steps"] >= 300
    assert sum(kind["count"] for kind in data["kinds"]) == data["entries"]


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed: NOT RUN")
def test_atheris_drives_the_kernel_and_adds_to_the_corpus(tmp_path: Path) -> None:
    status, data = told("--steps", 300, "--check", "none", "--engine", "atheris", "--corpus", tmp_path / "kept")
    assert status == 0
    assert data["steps"] >= 300
    assert list((tmp_path / "kept").iterdir())


def test_it_goes_on_from_a_record(tmp_path: Path) -> None:
    first = told("--steps", 400, "--check", "none", "--record", tmp_path / "r.json")
    again = told("--steps", 400, "--check", "none", "--record", tmp_path / "r.json")
    assert first == again
    (tmp_path / "r.json").write_text("[]")
    assert fuzz("--record", tmp_path / "r.json").exit_code == USAGE


def test_rounds_do_not_depend_on_workers() -> None:
    one, two = (Plan("random", 3, 2 * ROUND + 5, 0, workers=workers) for workers in (1, 2))
    assert one.rounds() == two.rounds()
    assert [steps for _, _, steps in one.rounds()] == [ROUND, ROUND, 5]


def test_wrong_usage_is_told() -> None:
    for arguments in (["--check", "some"], ["--plant", "S999"], ["--minimise"]):
        result = fuzz(*arguments)
        assert result.exit_code == USAGE
        assert result.stderr


def test_a_place_that_a_script_cannot_be_written_to_is_refused_before_the_hunt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("specs.fuzz.command.fuzzed", lambda *_: pytest.fail("it hunted"))
    for place in (tmp_path / "none" / "f.py", tmp_path):
        result = fuzz("--out", place)
        assert result.exit_code == USAGE
        assert f"--out {place} cannot be written" in result.stderr


def test_a_record_that_cannot_be_written_is_refused_before_the_hunt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("specs.fuzz.command.fuzzed", lambda *_: pytest.fail("it hunted"))
    (tmp_path / "file").touch()
    result = fuzz("--record", tmp_path / "file" / "r.json", "--out", tmp_path / "f.py")
    assert result.exit_code == USAGE
    assert "r.json cannot be written: " in result.stderr


def test_asking_whether_a_script_can_be_written_changes_no_file(tmp_path: Path) -> None:
    there, new = tmp_path / "there.py", tmp_path / "new.py"
    there.write_text("kept")
    for place in (there, new):
        assert fuzz("--steps", 20, "--check", "none", "--out", place).exit_code == 0
    assert there.read_text() == "kept"
    assert not new.exists()


@pytest.mark.parametrize("has_record", [True, False])
def test_an_interrupt_says_how_to_go_on(has_record: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("specs.fuzz.command.fuzzed", interrupted)
    record = tmp_path / "r.json"
    result = fuzz(*(["--record", record] if has_record else []))
    assert result.exit_code == STOPPED
    assert (str(record) if has_record else "with --record FILE") in result.stderr
