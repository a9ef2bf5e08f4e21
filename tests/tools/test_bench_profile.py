"""The profile of a benchmark: what py-spy saw is counted for the function, and for the layer that it is of."""

from collections import Counter
from pathlib import Path

import pytest

from bench.profile import NOT_RUN, USAGE, Profile, main, measured, read
from bench.profile import Work as Task

WORK = "<module> (bench/profile.py:9);measured (bench/profile.py:1);timed (bench/profile.py:5);run (bench/profile.py:2)"
SEEN = [
    f"{WORK};Loop.enter (capkernel/runtime/loop.py:3);lookup_slot (capkernel/kernel/cspace.py:40) 6",
    f"{WORK};Loop.enter (capkernel/runtime/loop.py:3);update (/usr/lib/python3.11/enum.py:7) 1",
    f"{WORK};Bus.load (hwmodel/bus.py:3) 2",
    f"{WORK};fn (/place/site-packages/hypothesis/core.py:3);inner (/usr/lib/random.py:1) 1",
    "<module> (bench/profile.py:9);measured (bench/profile.py:1);prepare (bench/profile.py:2) 50",
]


def test_the_innermost_function_of_a_layer_counts_and_what_is_prepared_does_not() -> None:
    assert read(SEEN) == Counter({
        ("kernel", "cspace: lookup_slot"): 6, ("loop", "loop: Loop.enter"): 1, ("machine", "bus: Bus.load"): 2,
        ("Hypothesis", "core: fn"): 1,
    })  # fmt: skip


def test_shares_add_up_to_the_time_of_a_unit() -> None:
    shares = Profile("one", "round trip", 20.0, read(SEEN)).shares()
    layers = {layer: microseconds for layer, function, microseconds in shares if not function}
    assert layers == {"kernel": 12, "machine": 4, "loop": 2, "Hypothesis": 2}
    assert sum(microseconds for _, function, microseconds in shares if function) == 20


def test_time_is_for_each_unit_without_what_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.profile.SECONDS", 0.01)
    prepared = []
    assert 0 < measured(Task("loop", lambda: sum(1 for _ in range(1000)), lambda: prepared.append(1))) < 100
    assert prepared


def test_what_cannot_be_measured_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["nothing"]) == USAGE
    assert "there is round-trip, " in capsys.readouterr().err
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    assert main(["round-trip"]) == NOT_RUN
    assert "NOT RUN: this needs py-spy" in capsys.readouterr().err


def test_a_tool_that_may_not_look_is_told_in_its_own_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = tmp_path / "py-spy"
    spy.write_text("#!/bin/sh\necho 'no ptrace here' >&2\nexit 1\n")
    spy.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda *_, **__: str(spy))
    assert main(["revoke"]) == NOT_RUN
    assert "NOT RUN: no ptrace here" in capsys.readouterr().err
