"""``capkernel flow``: what it prints."""

import pytest
from typer import Typer
from typer.testing import CliRunner

from specs.flow.command import flow


def test_nothing_but_the_report_is_printed_when_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specs.flow.command.LEAK_SEEDS", 1)
    app = Typer()
    app.command()(flow)
    done = CliRunner().invoke(app, ["--pairs", "1"])
    assert "planted leak" in done.stdout
    assert done.stderr == ""
