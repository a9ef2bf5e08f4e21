"""The catalogue: every row is there, every anchor is where it was, and every record still shows its defect."""

import importlib.util
import json
import os
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from capkernel.kernel.config import KernelConfig
from specs.bugs import records
from specs.bugs.catalogue import BUGS, ROWS
from specs.bugs.hook import AnchorError, edited, plant
from specs.bugs.hunt import hunt
from specs.bugs.model import Bug, Edit, Faithful, Impossible
from specs.bugs.run import WorkerError, hunted, shown_again
from specs.invariants import INVARIANTS, STEP_INVARIANTS

ROOT = Path(__file__).parent.parent.parent
GAPS = (15, 49)
"""Numbers that the table of the design does not use."""
RECORDS = records.load()
ESCAPING: frozenset[str] = frozenset()
"""Rows that no hunt has caught yet."""
GROUPS = 4
CAMPAIGN = int(os.environ.get("CAPKERNEL_CAMPAIGN", "0"))


def test_every_row_of_the_table_is_there_with_its_story() -> None:
    assert list(ROWS) == [f"S{n}" for n in range(1, 69) if n not in GAPS]
    for row in ROWS.values():
        assert row.title(), row.id()
        assert row.origin, row.id()
        assert len(row.title()) <= 85, row.id()


def test_every_planted_row_names_what_catches_it() -> None:
    for row in BUGS.values():
        assert row.edits, row.id()
        assert row.caught_by, row.id()
        assert len((row.__doc__ or "").splitlines()) > 3, f"{row.id()} tells no story"
        assert set(row.caught_by) & {*INVARIANTS, *STEP_INVARIANTS}, row.id()


def source_of(module: str) -> tuple[Path, str]:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin)
    path = path if path.suffix == ".py" else ROOT / (module.replace(".", "/") + ".py")
    return path, path.read_text()


@pytest.mark.parametrize("row", BUGS)
def test_every_anchor_occurs_once_and_the_edited_source_compiles(row: str) -> None:
    bug = BUGS[row]
    for module in {edit.module for edit in bug.edits}:
        path, source = source_of(module)
        new = edited(source, [edit for edit in bug.edits if edit.module == module], row, str(path))
        assert new != source
        compile(new, str(path), "exec")


def test_an_anchor_that_is_gone_is_named_with_its_row_and_file() -> None:
    edit = Edit("m", "no such line", "")
    with pytest.raises(AnchorError, match=r"(?s)S6: in m\.py the anchor occurs 0 times .*no such line"):
        edited("a = 1\n", [edit], "S6", "m.py")
    with pytest.raises(AnchorError, match="2 times"):
        edited("a = 1\na = 1\n", [Edit("m", "a = 1\n", "")], "S6", "m.py")


def test_a_process_that_has_the_kernel_already_is_refused() -> None:
    assert "capkernel.kernel.state" in sys.modules
    with pytest.raises(RuntimeError, match="S6 comes too late"):
        plant(BUGS["S6"])


def test_a_missing_anchor_ends_a_hunt_loudly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from specs.bugs.catalogue import BUGS\nfrom specs.bugs.model import Edit\n"
        "BUGS['S6'].edits = (Edit('capkernel.kernel.reply', 'not there', ''),)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(WorkerError, match=r"S6: in .*reply\.py the anchor occurs 0 times"):
        hunted("S6", 1, 10)


def test_the_kernel_contains_no_trace_of_the_catalogue() -> None:
    for path in (ROOT / "capkernel/kernel").rglob("*.py"):
        assert not re.search(r"\bS[1-9]\d?\b(?!-)|specs\.bugs", path.read_text()), path


def test_a_record_names_an_invariant_of_its_row_and_is_small() -> None:
    for row, record in RECORDS.items():
        assert set(record.violated) & set(BUGS[row].caught_by), row
        assert record.operations <= 15, row


def test_the_rows_without_record_are_those_that_are_known_to_escape() -> None:
    """A row leaves this set when ``capkernel bugs ROW --record`` has caught it; none may come in."""
    assert BUGS.keys() - RECORDS.keys() == ESCAPING


@pytest.mark.parametrize("group", range(GROUPS))
def test_every_record_shows_its_defect_again(group: int) -> None:
    chosen = {row: record for index, (row, record) in enumerate(RECORDS.items()) if index % GROUPS == group}
    seen = shown_again([(row, record.seed, record.number) for row, record in chosen.items()])
    for row, record in chosen.items():
        assert seen[row] == record.violated, (
            f"{row}: program {record.number} of seed {record.seed} now violates {seen[row] or 'nothing'}; if programs "
            f"are made up in another way now, renew the record: capkernel bugs {row} --record"
        )


@pytest.mark.slow
def test_the_clean_kernel_raises_no_alarm() -> None:
    """A million steps in a campaign; a few thousand else."""
    found = hunt(0, 1_000_000 if CAMPAIGN else 4_000)
    assert found is None, found and found.problem


def invoke(*arguments: str) -> tuple[int, str]:
    import typer

    from specs.bugs.command import bugs

    app = typer.Typer()
    app.command()(bugs)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_the_command_lists_the_catalogue() -> None:
    code, text = invoke("--list")
    assert code == 0
    assert all(row in text for row in ROWS)
    code, text = invoke("--list", "--json", "S50", "s6")
    rows = json.loads(text)
    assert [row["id"] for row in rows] == ["S50", "S6"]


def test_the_command_refuses_rows_that_there_are_not() -> None:
    code, text = invoke("S99")
    assert code == 2
    assert "S99" in text


def test_the_command_does_not_count_as_caught_or_missed_what_cannot_be_planted() -> None:
    code, text = invoke("S50")
    assert code == 0
    assert "bugs: nothing to plant; 1 of 1 explained" in text


@pytest.mark.slow
def test_the_command_says_what_caught_a_row_and_prints_its_program() -> None:
    record = RECORDS["S12"]
    code, text = invoke("S12", "S53", "--json", "--seed", str(record.seed))
    assert code == 0
    report = json.loads(next(line for line in text.splitlines() if line.startswith("{")))
    assert set(report["outcomes"][0]["violated"]) & set(BUGS["S12"].caught_by)
    assert [row["id"] for row in report["rest"]] == ["S53"]
    code, text = invoke("S6", "--steps", "1")
    assert code == 1
    assert "bugs: 0 of 1 caught" in text


def test_rows_of_other_kinds_say_why() -> None:
    for row in ROWS.values():
        if issubclass(row, Impossible):
            assert (ROOT / row.shown_by).exists(), row.id()
        elif issubclass(row, Faithful):
            assert hasattr(KernelConfig(), row.mended_by), row.id()
        elif not issubclass(row, Bug):
            assert getattr(row, "reason", ""), row.id()
