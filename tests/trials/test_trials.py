"""Trials of whole runs: each statement holds of some seeds here (of many in a campaign), and each can fail."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.kernel import budget, deletion, refills, scheduler, syscall
from capkernel.kernel.objects import SchedContext
from capkernel.kernel.state import State
from capkernel.runtime import snapshot
from hwmodel.machine import Machine as HardwareMachine
from specs.flow.worlds import flow_world
from specs.programs import world_of
from specs.trials import TRIALS

CAMPAIGN = int(os.environ.get("CAPKERNEL_CAMPAIGN", "0"))
SEED = int(os.environ.get("CAPKERNEL_SEED", "0"))
SEEDS = {
    "H1": 0,
    "H2": 0,
    "H3": 0,
    "H10": 0,
    "H7": 2,
    "H4": 10,
    "H6": 40,
    "H8": 40,
    "H9": 60,
    "L3": 30,
    "L4": 3,
    "L5": 10,
    "L6b": 60,
}
"""How many in `make test`: the four of ``specs.flow.twin`` come of the same runs, which tests/flow makes."""


@pytest.mark.parametrize("name", [name for name in TRIALS if SEEDS[name] or CAMPAIGN])
def test_the_statement_holds(name: str) -> None:
    for seed in range(SEED, SEED + (CAMPAIGN // 4 or SEEDS[name])):
        assert TRIALS[name].check(seed) is None, f"seed {seed}"


@pytest.fixture
def worlds() -> Iterator[None]:
    """Worlds of its own for a test that breaks something."""
    for made in (world_of, flow_world):
        made.cache_clear()
    yield
    for made in (world_of, flow_world):
        made.cache_clear()


def fails(name: str, seeds: int) -> bool:
    return any(TRIALS[name].check(seed) is not None for seed in range(seeds))


def remembering(original: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the kernel that does something else each hundredth time."""
    calls = count(1)

    def changed(state: State, *args: Any, **kwargs: Any) -> Any:
        if next(calls) % 100 == 0:
            state.consumed += 1
        return original(state, *args, **kwargs)

    return changed


@pytest.mark.parametrize("name", ["H4", "H7"])
def test_a_kernel_that_remembers_earlier_calls_is_noticed(
    worlds: None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscall, "schedule", remembering(scheduler.schedule))
    assert fails(name, 20)


def test_a_fast_path_that_answers_otherwise_is_noticed(worlds: None, monkeypatch: pytest.MonkeyPatch) -> None:
    original = syscall.FASTPATHS[sc.CALL]

    def careless(state: State, *args: Any) -> Any:
        done = original(state, *args)
        if done:
            state.current.registers[reg.BADGE_REGISTER] ^= 1
        return done

    monkeypatch.setitem(syscall.FASTPATHS, sc.CALL, careless)
    assert fails("H6", 400)


def test_a_field_that_a_snapshot_forgets_is_noticed(worlds: None, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tuple(name for name in snapshot.FIELDS[SchedContext] if name != "consumed")
    monkeypatch.setitem(snapshot.FIELDS, SchedContext, kept)
    assert fails("H8", 40)


def test_a_mapping_that_outlives_its_cap_is_noticed(worlds: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion, "_unmap_frame", lambda state, cap: None)
    assert fails("H9", 200)


def test_refills_that_come_late_are_noticed(worlds: None, monkeypatch: pytest.MonkeyPatch) -> None:
    original = refills._schedule_used

    def late(sc: SchedContext, time: int, amount: int) -> None:
        original(sc, time + sc.period // 10, amount)

    monkeypatch.setattr(refills, "_schedule_used", late)
    assert fails("L3", 10)


def test_a_revoke_that_finds_no_end_is_noticed(worlds: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not fails("L4", 1)
    monkeypatch.setattr(deletion, "delete", lambda state, slot, exposed=True: budget.preemption_point(state))
    assert fails("L4", 1)


def test_an_interrupt_that_stays_masked_is_noticed(worlds: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not fails("L5", 1)
    monkeypatch.setattr(HardwareMachine, "mask_irq", lambda machine, irq, masked: None)
    monkeypatch.setattr(HardwareMachine, "complete_irq", lambda machine, irq: None)
    assert fails("L5", 3)


def test_a_caller_who_is_forgotten_with_the_reply_is_noticed(worlds: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not fails("L6b", 1)
    monkeypatch.setattr(deletion, "_finalise_reply", lambda state, reply: None)
    assert fails("L6b", 60)
