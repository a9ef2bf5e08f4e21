"""Every invariant, of states and of steps, holds at each kernel entry while recorded programs are replayed."""

import gzip
import json
import os
from pathlib import Path

import pytest

from specs.monitor import Monitor
from specs.replay import replay_watched

GOLDEN = Path(__file__).parent.parent / "golden"
GROUPS = ("capspace", "vspace", "tcb", "ipc", "memory", "faults", "time")
EACH = 1 if os.environ.get("CAPKERNEL_CAMPAIGN") else 60
"""Every so many programs; a campaign takes them all."""


@pytest.mark.parametrize("group", GROUPS)
def test_the_invariants_hold_during_the_replay_of(group: str) -> None:
    with gzip.open(GOLDEN / f"{group}.jsonl.gz", "rt") as lines:
        programs = [json.loads(line) for line in list(lines)[::EACH]]
    checked = 0
    for program in programs:
        monitor = Monitor()
        assert replay_watched(program, monitor) is None, program["id"]
        checked += monitor.checked
    assert checked > 100
