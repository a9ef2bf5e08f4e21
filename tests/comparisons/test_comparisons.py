"""Two runs compared: each statement holds of some seeds here (of many in a campaign), and each can fail."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.kernel import deletion, scheduler, syscall
from capkernel.kernel.objects import SchedContext
from capkernel.kernel.state import State
from capkernel.runtime import snapshot
from specs.comparisons import COMPARISONS
from specs.flow.worlds import flow_world
from specs.programs import world_of

CAMPAIGN = int(os.environ.get("CAPKERNEL_CAMPAIGN", "0"))
SEED = int(os.environ.get("CAPKERNEL_SEED", "0"))
SEEDS = {"H1": 0, "H2": 0, "H3": 0, "H10": 0, "H7": 2, "H4": 10, "H6": 40, "H8": 40, "H9": 60}
"""How many in `make test`: the four of ``specs.flow.twin`` come of the same runs, which tests/flow makes."""


@pytest.mark.parametrize("name", [name for name in COMPARISONS if SEEDS[name] or CAMPAIGN])
def test_the_statement_holds(name: str) -> None:
    for seed in range(SEED, SEED + (CAMPAIGN // 4 or SEEDS[name])):
        assert COMPARISONS[name].check(seed) is None, f"seed {seed}"


@pytest.fixture
def worlds() -> Iterator[None]:
    """Worlds of its own for a test that breaks something."""
    for made in (world_of, flow_world):
        made.cache_clear()
    yield
    for made in (world_of, flow_world):
        made.cache_clear()


def fails(name: str, seeds: int) -> bool:
    return any(COMPARISONS[name].check(seed) is not None for seed in range(seeds))


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
    monkeypatch.setattr(scheduler, "schedule", remembering(scheduler.schedule))
    monkeypatch.setattr(syscall, "schedule", remembering(scheduler.schedule), raising=False)
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
