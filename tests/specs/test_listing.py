"""``capkernel invariants``: the whole table is there, each row with its statement and story."""

import json
from pathlib import Path

from typer import Typer
from typer.testing import CliRunner

from specs.listing import NOT_YET, invariants, page, statements

TABLE = [*(f"G{n}" for n in range(1, 33)), *(f"T{n}" for n in range(1, 19)), *(f"L{n}" for n in range(1, 8)),
         *(f"H{n}" for n in range(1, 11))]  # fmt: skip
ELSEWHERE = {"L2": "G15b"}
"""Rows that are checked under another name: L2 is a statement about states."""
runner, app = CliRunner(), Typer()
app.command()(invariants)


def test_every_statement_of_the_table_is_checked_or_waits_for_the_process_cpu() -> None:
    there = {row.id for row in statements()}
    assert [name for name in TABLE if ELSEWHERE.get(name, name) not in there | NOT_YET.keys()] == []
    assert not there & NOT_YET.keys()


def test_each_has_a_statement_and_a_story_that_begins_with_its_name() -> None:
    for row in statements():
        assert row.statement
        assert row.story.startswith(row.id), row


def test_no_name_is_used_twice() -> None:
    names = [row.id for row in statements()]
    assert len(names) == len(set(names))


def test_one_can_be_told() -> None:
    result = runner.invoke(app, ["G19"])
    assert result.exit_code == 0
    assert "valid_ready_qs" in result.output


def test_capital_letters_do_not_matter() -> None:
    assert runner.invoke(app, ["g19"]).output == runner.invoke(app, ["G19"]).output
    assert NOT_YET["L7"].split()[0] in runner.invoke(app, ["l7"]).output


def test_data_for_programs() -> None:
    data = json.loads(runner.invoke(app, ["--json"]).output)
    assert {row["id"] for row in data["statements"]} == {row.id for row in statements()}
    assert data["not_yet"] == NOT_YET


def test_the_page_has_the_table() -> None:
    path = Path(__file__).parents[2] / "docs" / "invariants.md"
    assert path.read_text() == page(path.read_text()), "python -m specs.listing writes it"


def test_an_unknown_name_is_an_error() -> None:
    assert runner.invoke(app, ["G99"]).exit_code == 2
