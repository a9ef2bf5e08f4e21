"""H1, H2, H3: who may not be influenced sees the same in any company; and each planted leak is seen.

``CAPKERNEL_CAMPAIGN`` (a number of pairs) makes a campaign of it.
"""

import os

import pytest

from capkernel.abi import syscalls as sc
from specs.flow.sources import sources
from specs.flow.twin import Leak, Pair, compare, planted_pair, random_pair
from specs.flow.worlds import ISOLATED, ONE_WAY, PARTIES, PLANTED, SPORADIC, TURNS, WIRINGS, Wiring, flow_world
from specs.invariants.authority import Edge
from specs.programs import Compute, Syscall

PAIRS = int(os.environ.get("CAPKERNEL_CAMPAIGN", "0")) // 10 or 4
SEED = int(os.environ.get("CAPKERNEL_SEED", "0"))
NOTHING = (Compute(1),)
LATE = (Compute(7_800), Syscall(number=sc.NBSEND), Compute(20), Syscall(number=sc.NBSEND)) * SPORADIC.rounds
"""Calls in the last ticks of bob's turns."""


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("label", PARTIES)
def test_a_label_sees_the_same_whatever_those_do_who_are_no_sources_of_it(wiring: str, label: str) -> None:
    for seed in range(SEED, SEED + PAIRS):
        pair = random_pair(WIRINGS[wiring], label, seed)
        assert pair.leak is None, f"seed {seed}: {pair.leak}"


@pytest.mark.parametrize("name", PLANTED)
def test_a_leak_that_is_planted_is_found(name: str) -> None:
    assert any(planted_pair(PLANTED[name], seed).leak is not None for seed in range(60))


def turns_and_leak(pair: Pair) -> tuple[list[list[int]], Leak | None]:
    return [[ticks for _, ticks in run.turns] for run in pair.runs], pair.leak


def in_bobs_company(wiring: Wiring, late: bool) -> Pair:
    idle = dict.fromkeys(PARTIES, NOTHING)
    return compare(wiring, "alice", idle, idle | {"bob": LATE if late else NOTHING})


def test_the_start_of_a_turn_moves_with_the_last_calls_of_the_turn_before_by_the_least_budget_at_most() -> None:
    """What the claim leaves out: absolute time. (A turn is over when less than the least budget is left of it.)"""
    lengths, leak = turns_and_leak(in_bobs_company(ISOLATED, late=True))
    assert leak is None
    assert lengths[0] != lengths[1]
    state = flow_world(ISOLATED).state
    longest = ISOLATED.syscall_ticks + ISOLATED.work_unit_ticks * state.config.work_units_per_preemption
    for run in lengths:
        for index, ticks in enumerate(run):
            turn = TURNS[index % len(TURNS)][1]
            assert turn - state.min_budget - longest <= ticks <= turn + longest


def test_a_budget_that_the_clock_refills_shows_when_turns_begin() -> None:
    """Why the claim is for budgets equal to their periods."""
    assert in_bobs_company(SPORADIC, late=False).leak is None
    leak = in_bobs_company(SPORADIC, late=True).leak
    assert leak is not None
    assert "consumed" in leak.detail


def test_sources_are_those_from_whom_information_may_come() -> None:
    edges = ONE_WAY.edges
    assert sources("alice", edges) == {"alice", "bob", "channel"}
    assert sources("bob", edges) == {"bob"}
    chain = {Edge("a", "write", "b"), Edge("c", "read", "b"), Edge("c", "notify", "d")}
    assert sources("d", chain) == {"a", "b", "c", "d"}
    assert sources("a", chain) == {"a"}


def test_the_views_of_a_run_are_not_all_alike() -> None:
    """The comparison is of something: alice's view changes with what she does, and with what bob may tell her."""
    pairs = [random_pair(ONE_WAY, "alice", seed) for seed in range(3)]
    assert all(len(run.seen["alice"].views) > 3 for pair in pairs for run in pair.runs)
    bob = Syscall(number=sc.NBSEND, cap=9), Syscall(number=sc.SEND, cap=9)
    alice = (Syscall(number=sc.WAIT, cap=9), Compute(1)) * 3
    quiet = {"alice": alice, "bob": NOTHING, "carol": NOTHING}
    loud = quiet | {"bob": bob}
    views = [compare(ONE_WAY, "alice", steps, steps).runs[0].seen["alice"].views for steps in (quiet, loud)]
    assert views[0] != views[1]
