"""The fast path answers as the slow path, or not at all."""

import gzip
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.ping_pong import client, root, server
from capkernel.kernel import fastpath, syscall
from capkernel.runtime.platform import PRESETS
from capkernel.runtime.python_system import PythonSystem
from capkernel.runtime.trace import Trace
from capkernel.tools.conform.populate import start
from capkernel.tools.conform.steps import Stepper
from capkernel.tools.conform.timeline import Timeline
from specs.structure import structure

GOLDEN = Path(__file__).parent.parent / "golden"
SLOW = replace(PRESETS["golden"], fastpath=False)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each fast path was taken."""
    counts: Counter[str] = Counter()

    def counted(function: Any) -> Any:
        def path(state: Any) -> bool:
            done = function(state)
            counts[function.__name__] += done
            return bool(done)

        return path

    paths = {number: counted(function) for number, function in syscall.FASTPATHS.items()}
    monkeypatch.setattr(syscall, "FASTPATHS", paths)
    return counts


def _programs(group: str, step: int) -> list[dict[str, Any]]:
    with gzip.open(GOLDEN / f"{group}.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in list(lines)[::step]]


def test_recorded_messages_leave_the_same_state_on_both_paths(taken: Counter[str]) -> None:
    for program in _programs("ipc", 35):
        fast, slow = Stepper(start(program), "ipc"), Stepper(start(program), "ipc")
        slow.world.loop.state.config = SLOW
        for record in program["ops"]:
            assert fast.step(record) == slow.step(record)
            assert structure(fast.world.loop.state) == structure(slow.world.loop.state), (program["id"], record)
    assert taken[fastpath.call.__name__] > 0


def test_recorded_call_chains_take_the_same_time_on_both_paths(
    taken: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = [p for p in _programs("time", 1) if p["init"]["family"].startswith("chain")][::6]
    fast = [Timeline(program, 20).run() for program in programs]
    assert min(taken[fastpath.call.__name__], taken[fastpath.reply_recv.__name__]) > 0
    monkeypatch.setitem(PRESETS, "golden", SLOW)
    assert fast == [Timeline(program, 20).run() for program in programs]


def test_an_exchange_that_uses_up_budgets_has_the_same_trace_on_both_paths(taken: Counter[str]) -> None:
    hashes = []
    for enabled in (True, False):
        config = replace(PRESETS["demo"], fastpath=enabled)
        system = PythonSystem([root, client, server], config=config)
        trace = Trace(system.loop)
        system.run(max_entries=30_000)
        hashes.append((trace.hash(), {k: v for k, v in structure(system.state).items() if k != "State"}))
    assert taken[fastpath.call.__name__] > 10_000
    assert hashes[0] == hashes[1]
