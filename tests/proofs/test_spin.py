"""Spin and the explored kernel reach the same states, and a kernel that does otherwise is noticed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capkernel.kernel import scheduler
from specs.explore.configurations import CONFIGURATIONS
from specs.explore.model import Configuration, Thread
from specs.explore.system import System
from specs.proofs.spin import command
from specs.proofs.spin.compare import compare, missing_tools, verifier
from specs.proofs.spin.encode import EncodingError, encoded

needs_spin = pytest.mark.skipif(
    bool(missing_tools()), reason=f"NOT RUN: {', '.join(missing_tools())} not found (Debian: spin, gcc)"
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with verifier() as built:
        yield built


@needs_spin
@pytest.mark.parametrize("name", ["broken-chain", "timeouts", "interrupted-revoke"])
def test_kernel_and_model_reach_the_same_states(folder: Path, name: str) -> None:
    result = compare(folder, CONFIGURATIONS[name])
    assert result.agrees, result.difference()
    assert result.states == result.spin_states > 10


@needs_spin
@pytest.mark.campaign
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_kernel_and_model_agree_in_every_configuration(folder: Path, name: str) -> None:
    result = compare(folder, CONFIGURATIONS[name])
    assert result.agrees, result.difference()


@needs_spin
def test_a_kernel_whose_queues_are_in_another_order_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "append", scheduler.enqueue)
    result = compare(folder, CONFIGURATIONS["rendezvous"])
    assert not result.agrees
    assert "only the" in result.difference()


def test_what_the_model_has_no_words_for_is_refused() -> None:
    system = System(Configuration("odd", "an object that the model does not have", (Thread(("Delete frame0",)),)))
    with pytest.raises(EncodingError, match="frame0"):
        encoded(system)


def test_without_spin_it_says_that_nothing_was_run(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(command, "missing_tools", lambda: ["spin"])
    assert command.main([]) == command.NOT_RUN
    assert "NOT RUN: spin not found" in capsys.readouterr().out
