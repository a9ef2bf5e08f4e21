"""Refills: how a scheduling context's budget is spent and comes back.

A sporadic server: what is used of a refill comes back one period after that refill was ready (Stanovich et al.,
RTAS 2010, as in seL4's ``sporadic.c``). Refills are in order, do not overlap, and sum to the budget; each
but a round-robin tail is at least ``minimum`` ticks. A round-robin context (period 0) has two: left and used.
"""

from capkernel.kernel.objects import KernelBug, Refill, SchedContext
from capkernel.kernel.state import State

MIN_REFILLS = 2


def is_active(sc: SchedContext) -> bool:
    """Whether the context was ever configured (sc_active)."""
    return sc.refill_max > 0


def is_ready(state: State, sc: SchedContext) -> bool:
    """Whether its first refill may be used now (refill_ready)."""
    return sc.refills[0].time <= state.time


def is_sufficient(state: State, sc: SchedContext, usage: int = 0) -> bool:
    """Whether at least the minimum is left of the first refill after ``usage`` ticks (refill_sufficient)."""
    return sc.refills[0].amount - usage >= state.min_budget


def is_released(state: State, sc: SchedContext) -> bool:
    """Whether a thread bound to it could run at once (sc_released)."""
    return is_active(sc) and is_ready(state, sc)


def configure(state: State, sc: SchedContext, max_refills: int, budget: int, period: int) -> None:
    """Start afresh with one full refill, usable now (refill_new)."""
    sc.period = period
    sc.refill_max = max_refills
    sc.refills = [Refill(state.time, budget)]
    _add_round_robin_tail(sc)


def reconfigure(state: State, sc: SchedContext, max_refills: int, budget: int, period: int) -> None:
    """Change the parameters of a running context; it gains no time by that (refill_update)."""
    head = sc.refills[0]
    sc.refills = [head]
    sc.refill_max = max_refills
    sc.period = period
    if is_ready(state, sc):
        head.time = state.time
    if head.amount >= budget:
        head.amount = budget
        _add_round_robin_tail(sc)
    else:
        sc.refills.append(Refill(head.time + period, budget - head.amount))


def _add_round_robin_tail(sc: SchedContext) -> None:
    if sc.period == 0:
        sc.refills.append(Refill(sc.refills[0].time, 0))


def _schedule_used(sc: SchedContext, time: int, amount: int) -> None:
    """Give used time back at ``time``: merge with the last refill if they touch, or if there is no room."""
    tail = sc.refills[-1]
    if tail.time + tail.amount >= time:
        tail.amount += amount
    elif len(sc.refills) < sc.refill_max:
        sc.refills.append(Refill(time, amount))
    else:
        tail.time = time - tail.amount
        tail.amount += amount


def budget_check(state: State, sc: SchedContext, usage: int) -> None:
    """Charge ``usage`` ticks to a context that is not round robin (refill_budget_check)."""
    limit = state.max_release_time
    while sc.refills[0].amount <= usage and sc.refills[0].time < limit:
        usage -= _charge_entire_head(sc)
    head = sc.refills[0]
    if usage > 0 and head.time < limit:
        used_at = head.time + sc.period
        head.amount -= usage
        head.time += usage
        _schedule_used(sc, used_at, usage)
    while sc.refills[0].amount < state.min_budget:
        _merge_into_next(sc)


def _charge_entire_head(sc: SchedContext) -> int:
    """Move the whole first refill one period on; returns its amount."""
    head = sc.refills[0]
    if len(sc.refills) == 1:
        head.time += sc.period
    else:
        sc.refills.pop(0)
        _schedule_used(sc, head.time + sc.period, head.amount)
    return head.amount


def _merge_into_next(sc: SchedContext) -> None:
    """A first refill too small to use joins the second, whose time comes that much earlier."""
    if len(sc.refills) < 2:
        raise KernelBug("the only refill is below the minimum budget")
    head = sc.refills.pop(0)
    sc.refills[0].amount += head.amount
    sc.refills[0].time -= head.amount


def unblock_check(state: State, sc: SchedContext) -> None:
    """After a pause: unused time does not pile up, it starts anew now (refill_unblock_check)."""
    if sc.period == 0 or not is_ready(state, sc):
        return
    head = sc.refills[0]
    head.time = state.time
    state.reprogram = True
    while len(sc.refills) > 1 and sc.refills[1].time <= head.time + head.amount:
        head.amount += sc.refills.pop(1).amount


def sporadic_unblock(state: State, sc: SchedContext | None) -> None:
    """``unblock_check`` for a sporadic context that is not the current one; the others have it when switched to."""
    if sc is not None and sc.sporadic and sc is not state.current_sc:
        unblock_check(state, sc)
