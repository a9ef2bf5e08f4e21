"""The arithmetic of refills: how a budget is spent and comes back.

A sporadic server (Sprunt 1990; Stanovich et al., RTAS 2010): what is used of a refill comes back one period after that
refill could be used. A list of refills is never empty, is in order of time, and nowhere overlaps. All is in ticks.
"""

from typing import Final

from specs.abstract.objects import Refill

Refills = tuple[Refill, ...]
MIN_REFILLS: Final = 2


def round_robin(time: int, budget: int) -> Refills:
    """The refills of a context without period: what is left of the slice, and what was used of it."""
    return Refill(time, budget), Refill(time, 0)


def schedule_used(refills: Refills, new: Refill, most: int) -> Refills:
    """Give time back later: joined to the last refill if they touch, or if there is no room for another."""
    *before, last = refills
    if last.time + last.amount >= new.time:
        return (*before, Refill(last.time, last.amount + new.amount))
    if len(refills) < most:
        return (*refills, new)
    return (*before, Refill(new.time - last.amount, last.amount + new.amount))


def budget_check(refills: Refills, usage: int, period: int, most: int, min_budget: int, limit: int) -> Refills:
    """Charge ``usage``. Refills from ``limit`` on are not charged, so that times do not overflow."""
    while refills[0].amount <= usage and refills[0].time < limit:
        head, *rest = refills
        usage -= head.amount
        later = Refill(head.time + period, head.amount)
        refills = schedule_used(tuple(rest), later, most) if rest else (later,)
    if usage > 0 and refills[0].time < limit:
        head, *rest = refills
        left = Refill(head.time + usage, head.amount - usage)
        refills = schedule_used((left, *rest), Refill(head.time + period, usage), most)
    while refills[0].amount < min_budget:
        small, following, *rest = refills
        joined = Refill(following.time - small.amount, following.amount + small.amount)
        refills = (joined, *rest)
    return refills


def unblock_check(refills: Refills, now: int) -> Refills:
    """After a wait the first refill starts now, together with all that it then reaches."""
    amount, rest = refills[0].amount, refills[1:]
    while rest and rest[0].time <= now + amount:
        amount, rest = amount + rest[0].amount, rest[1:]
    return Refill(now, amount), *rest


def update(refills: Refills, now: int, budget: int, period: int) -> Refills:
    """The refills of a running context under new parameters: it keeps what it has, up to the new budget."""
    head = refills[0]
    time = now if head.time <= now else head.time
    if head.amount < budget:
        return Refill(time, head.amount), Refill(time + period, budget - head.amount)
    return (Refill(time, budget),)
