"""``capkernel refine``: what it prints, keeps and answers."""

import gzip
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from specs.abstract import syscall
from specs.abstract.state import State
from specs.refinement import campaign
from specs.refinement.campaign import Record, play
from specs.refinement.command import refine

GOLDEN = Path(__file__).parent.parent / "golden"


BATCH = 12


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "BATCH", BATCH)


def invoke(*arguments: object) -> Result:
    """Run the command in this process."""
    app = typer.Typer()
    app.command()(refine)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_short_campaign_says_what_it_did_and_ends_well(tmp_path: Path) -> None:
    result = invoke("--steps", 100, "--record", tmp_path / "r.json")
    assert result.exit_code == 0, result.output
    assert "CNode_Revoke" in result.stdout
    assert result.stdout.splitlines()[-1].endswith("0 recorded programs, 0 divergences")


def test_a_campaign_goes_on_where_it_was(tmp_path: Path) -> None:
    record = tmp_path / "r.json"
    first = json.loads(invoke("--steps", 100, "--record", record, "--json").stdout)
    same = json.loads(invoke("--steps", 100, "--record", record, "--json").stdout)
    more = json.loads(invoke("--steps", first["operations"] + 1, "--record", record, "--json").stdout)
    assert first == same
    assert first["programs"] == BATCH
    assert more["programs"] == 2 * BATCH
    assert more["operations"] == first["operations"] + play(0, BATCH, BATCH).operations


def test_other_sources_or_another_seed_start_afresh(tmp_path: Path) -> None:
    record = tmp_path / "r.json"
    invoke("--steps", 100, "--record", record)
    result = invoke("--steps", 100, "--record", record, "--seed", 1, "--json")
    assert "starting afresh" in result.stderr
    data = json.loads(record.read_text())
    assert data["sums"]["programs"] == BATCH
    record.write_text(json.dumps(data | {"digest": "of something else"}))
    assert Record(record, 1).outdated


def test_batches_may_come_in_any_order(tmp_path: Path) -> None:
    kept = Record(tmp_path / "r.json", 0)
    for number in (2, 0):
        kept.add(number, play(0, number, 1))
    again = Record(tmp_path / "r.json", 0)
    assert (again.sums, again.done) == (kept.sums, {0, 2})
    missing = again.missing()
    assert [next(missing), next(missing)] == [1, 3]


def test_a_divergence_is_printed_with_a_program_that_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscall, "handle_yield", lambda s: None)
    result = invoke("--steps", 1)
    assert result.exit_code == 1
    assert "the specification says" in result.stdout
    script = result.stdout.split("\n\n", 1)[1]
    program = script[script.index("from specs") : script.index("if __name__")]
    found: dict[str, object] = {}
    exec(program, found)
    report = found["report"]
    assert callable(report)
    assert report(found["program"]) == 1


def test_recordings_are_replayed_and_what_differs_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = tmp_path / "ipc.jsonl"
    recording.write_text(_first_program("ipc"))
    assert invoke("--steps", 0, "--golden", recording).exit_code == 0

    def silent(s: State, ntfn: int, badge: int) -> None:
        return

    monkeypatch.setattr("specs.abstract.decode.send_signal", silent)
    result = invoke("--steps", 0, "--golden", recording, "--json")
    assert result.exit_code == 1
    group = json.loads(result.stdout)["golden"]["ipc"]
    assert len(group["against_reality"]) == len(group["against_kernel"]) == 1


def _first_program(group: str) -> str:
    with gzip.open(GOLDEN / f"{group}.jsonl.gz", "rt") as lines:
        return next(iter(lines))


@pytest.mark.parametrize("content", ["not JSON", "[]", '{"digest": 1}'])
def test_a_file_that_is_no_record_is_refused(content: str, tmp_path: Path) -> None:
    record = tmp_path / "r.json"
    record.write_text(content)
    result = invoke("--record", record)
    assert result.exit_code == 2
    assert "no record of a campaign" in result.stderr


def test_recordings_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    result = invoke("--golden", tmp_path)
    assert result.exit_code == 2
    assert "no recordings in this directory" in result.stderr
