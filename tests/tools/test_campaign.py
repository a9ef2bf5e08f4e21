"""The fault campaign: a sample of every kind of fault is survived, goes the same way again, and is counted honestly."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from capkernel.cli import COMMANDS
from capkernel.tools.campaign.batch import Batch
from capkernel.tools.campaign.command import campaign
from capkernel.tools.campaign.record import Record
from capkernel.tools.campaign.schedule import BATCH, SURVIVABLE, batch

PAIRS = 20
"""A batch after the single faults: random pairs of all kinds."""


@pytest.mark.slow
def test_faults_of_every_kind_are_survived_and_go_the_same_way_again() -> None:
    first = Batch(PAIRS).play()
    assert not first.failed
    assert first.states_checked > 0
    kinds = {f"{target}: {kind}" for target, kind in SURVIVABLE}
    assert kinds == set(first.planned)
    assert first.activated.total() > BATCH // 2
    assert Batch(PAIRS).play().data() == first.data()


def test_the_schedule_has_each_kind_at_each_step_and_then_pairs() -> None:
    single = [faults for number in range(10) for faults in batch(number) if len(faults) == 1]
    assert {(fault.target, fault.kind) for (fault,) in single} == set(SURVIVABLE)
    assert len(set(single)) == len(single)
    assert all(len(faults) == 2 for faults in batch(PAIRS))
    assert list(batch(PAIRS)) == list(batch(PAIRS))


def test_a_campaign_that_was_killed_while_it_wrote_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    entry = {
        "planned": {"disk: crash": 2}, "activated": {"disk: crash": 1}, "failed": [], "retries": 1, "rounds": 4,
        "recoveries_us": [5.0, 1.0, 3.0], "states_checked": 3, "trace_hash": "x",
    }  # fmt: skip
    record = Record(path)
    record.add({"number": 0, **entry})
    path.write_text(path.read_text() + '{"number": 1, "plan')
    again = Record(path)
    assert set(again.batches) == {0}
    again.add({"number": 1, **entry})
    assert set(Record(path).batches) == {0, 1}
    sums = Record(path).sums()
    assert (sums.planned.total(), sums.activated.total(), sums.recoveries, sums.median_us) == (4, 2, 6, 3.0)


def test_what_was_not_survived_is_said_and_fails(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    failure = {"index": 7, "planned": "disk: crash 3 steps ahead", "what": "acknowledged data is lost"}
    entry = {
        "number": 0, "planned": {}, "activated": {}, "failed": [failure], "retries": 0, "rounds": 0,
        "recoveries_us": [], "states_checked": 0, "trace_hash": "",
    }  # fmt: skip
    path.write_text(json.dumps(entry) + "\n")
    app = typer.Typer()
    app.command()(campaign)
    result = CliRunner().invoke(app, ["--faults", str(BATCH), "--record", str(path)])
    assert result.exit_code == 1
    assert "batch 0, fault 7 (disk: crash 3 steps ahead): acknowledged data is lost" in " ".join(result.output.split())
    assert COMMANDS["campaign"]
