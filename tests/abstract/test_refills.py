"""The arithmetic of refills, by its laws."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from specs.abstract.objects import Refill
from specs.abstract.refills import Refills, budget_check, schedule_used, unblock_check, update

LEAST, LIMIT = 200, 2**60
MOST = 5
QUICK = settings(max_examples=200, deadline=None, derandomize=True, database=None)


@st.composite
def lists_of_refills(draw: st.DrawFn) -> Refills:
    """Refills in order, apart, each of at least the least budget."""
    time, refills = draw(st.integers(0, 10_000)), []
    for _ in range(draw(st.integers(1, MOST))):
        amount = draw(st.integers(LEAST, 5_000))
        refills.append(Refill(time, amount))
        time += amount + draw(st.integers(1, 5_000))
    return tuple(refills)


def total(refills: Refills) -> int:
    """All the time there is."""
    return sum(refill.amount for refill in refills)


def is_ordered(refills: Refills) -> bool:
    """Whether each refill ends before the next begins."""
    return all(a.time + a.amount <= b.time for a, b in pairwise(refills))


@QUICK
@given(lists_of_refills(), st.integers(0, 20_000))
def test_charging_loses_no_time_and_keeps_order_and_the_least_budget(refills: Refills, usage: int) -> None:
    period = max(10_000, refills[-1].time + refills[-1].amount - refills[0].time, total(refills))
    charged = budget_check(refills, min(usage, total(refills)), period, MOST, LEAST, LIMIT)
    assert total(charged) == total(refills)
    assert is_ordered(charged)
    assert len(charged) <= MOST
    assert charged[0].amount >= LEAST


@QUICK
@given(lists_of_refills(), st.integers(0, 5_000))
def test_what_is_used_comes_back_one_period_after_it_could_be_used(refills: Refills, usage: int) -> None:
    head, period = refills[0], 100_000
    charged = budget_check(refills, min(usage, head.amount), period, MOST + 1, 0, LIMIT)
    back = [refill for refill in charged if refill.time >= head.time + period]
    assert total(tuple(back)) == min(usage, head.amount)


@QUICK
@given(lists_of_refills(), st.integers(0, 40_000))
def test_after_a_wait_no_time_is_lost_or_gained_and_the_first_refill_starts_now(refills: Refills, wait: int) -> None:
    now = refills[0].time + wait
    after = unblock_check(refills, now)
    assert total(after) == total(refills)
    assert after[0].time == now
    assert all(now + after[0].amount < refill.time for refill in after[1:2])


@QUICK
@given(lists_of_refills(), st.integers(LEAST, 9_000), st.integers(0, 9_000))
def test_new_parameters_give_the_whole_new_budget_and_not_more_of_it_now(
    refills: Refills, budget: int, more: int
) -> None:
    now = refills[0].time
    after = update(refills, now, budget, budget + more + 1)
    assert total(after) == budget
    assert after[0].amount == min(budget, refills[0].amount)


def test_refills_that_touch_are_one() -> None:
    assert schedule_used((Refill(0, 300),), Refill(300, 200), MOST) == (Refill(0, 500),)


def test_without_room_the_last_refill_waits_for_the_new_one() -> None:
    assert schedule_used((Refill(0, 300),), Refill(1_000, 200), 1) == (Refill(700, 500),)
