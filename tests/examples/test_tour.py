"""The tour runs everything, shows it, and says by its exit status whether all was as it should be."""

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from capkernel.tools.tour import tour

EXAMPLES = Path(__file__).parents[2] / "examples"
QUIET = (EXAMPLES / "quiet" / "fortress" / "mallory.py").read_text()


def run_tour(*arguments: str):
    app = typer.Typer()
    app.command()(tour)
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.slow
def test_shows_every_system_and_ends_with_the_totals() -> None:
    result = run_tour(str(EXAMPLES))
    assert result.exit_code == 0, result.output
    for text in ("hello, capabilities", "keeper: restart 2 of 2", "What mallory tried", "Seen from outside"):
        assert text in result.output
    assert "\x1b" not in result.output
    assert "All is as it should be." in result.output.splitlines()[-1]


@pytest.mark.slow
def test_fails_if_the_attacker_does_nothing(tmp_path: Path) -> None:
    copy = shutil.copytree(EXAMPLES, tmp_path / "examples")
    (copy / "fortress" / "mallory.py").write_text(QUIET)
    result = run_tour(str(copy), "--json")
    assert result.exit_code == 1
    report = json.loads(result.output)
    assert not report["good"]
    assert [siege["attempts"] for siege in report["sieges"]] == [0, 0]


def test_says_when_there_are_no_examples(tmp_path: Path) -> None:
    result = run_tour(str(tmp_path))
    assert result.exit_code == 2
