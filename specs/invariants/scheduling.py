"""Time: G19–G21.

Catches: a thread that runs (or waits to run) without budget, in the wrong queue, or for ever in the release queue;
time made from nothing or lost when refills are split, merged and moved.
"""

from itertools import pairwise

from capkernel.kernel.objects import RESTART, RUNNING, SchedContext
from capkernel.kernel.state import PRIORITIES
from specs.invariants.model import Invariant, first
from specs.invariants.parts import REFERENCES, parts
from specs.invariants.view import View, members, name_of


def valid_ready_queues(view: View) -> str | None:
    """G19 ``valid_ready_qs``: a ready thread is runnable, has a context with budget, and sits at its own place.

    And the bitmap by which the highest priority is found is exact.
    """
    state = view.state
    problems = []
    bitmaps = [0] * len(state.ready_bitmap)
    for index, queue in state.ready.items():
        if queue.head is None and queue.tail is None:
            continue
        queued, broken = members(queue)
        if broken:
            problems.append(f"ready queue {index}: {broken}")
        bitmaps[index // PRIORITIES] |= 1 << index % PRIORITIES
        for tcb in queued:
            if (tcb.domain, tcb.priority) != divmod(index, PRIORITIES):
                problems.append(f"{name_of(tcb)} (domain {tcb.domain}, priority {tcb.priority}) is in queue {index}")
            if tcb.state is not RUNNING and tcb.state is not RESTART:
                problems.append(f"{name_of(tcb)} is ready but not runnable")
            sc = tcb.sched_context
            if sc is None or not sc.refills or sc.refills[0].amount < state.min_budget:
                problems.append(f"{name_of(tcb)} is ready without budget")
    if bitmaps != state.ready_bitmap:
        problems.append("the bitmap of ready priorities is wrong")
    return first(problems)


def valid_release_queue(view: View) -> str | None:
    """G20 ``valid_release_q``: sorted by time; its threads wait for a refill and for nothing else."""
    queued, broken = members(view.state.release)
    problems = [f"the release queue: {broken}"] if broken else []
    times = []
    for tcb in queued:
        if tcb.state is not RUNNING and tcb.state is not RESTART:
            problems.append(f"{name_of(tcb)} waits for a refill but is not runnable")
        sc = tcb.sched_context
        if sc is None or not sc.refills:
            problems.append(f"{name_of(tcb)} waits for a refill but has no context")
        else:
            times.append(sc.refills[0].time)
    if times != sorted(times):
        problems.append(f"the release queue has the times {times}")
    if times and times[0] <= view.state.time:
        problems.append(f"a refill of tick {times[0]} is still waited for at tick {view.state.time}")
    return first(problems)


def valid_refills(view: View) -> str | None:
    """G21 ``valid_refills``: refills are ordered, disjoint, and sum to at most the period.

    Corrected: the kernel does not keep the budget, so "≤ budget" is a step's business (the sum only changes when the
    context is configured: G21b). A round-robin context (period 0) has two refills, left and used, whose times say
    nothing.
    """
    problems = []
    for sc in view.touched(SchedContext):
        if sc.refill_max:
            problems += _wrong_refills(sc, view.state.min_budget)
    return first(problems)


def _wrong_refills(sc: SchedContext, least: int) -> list[str]:
    refills = sc.refills
    if not refills or (sc.period == 0 and len(refills) != 2):
        return [f"{name_of(sc)} has {len(refills)} refills"]
    wrong = []
    if refills[0].amount < least:
        wrong.append("the first refill is below the minimum")
    if sc.period:
        if any(a.time + a.amount > b.time for a, b in pairwise(refills)):
            wrong.append("refills overlap or are out of order")
        if sum([r.amount for r in refills]) > sc.period:
            wrong.append(f"more budget than the period {sc.period}")
        if any(r.amount <= 0 for r in refills):
            wrong.append("an empty refill")
    return [f"{name_of(sc)}: {what}: {[(r.time, r.amount) for r in refills]}" for what in wrong]


CHECKS = (
    Invariant("G19", "valid_ready_qs", "a ready thread is runnable, has budget, and sits at its own place",
              valid_ready_queues,
              reads=REFERENCES | parts("TCB.domain TCB.priority SchedContext.refills State.ready_bitmap "
                                       "State.min_budget")),
    Invariant("G20", "valid_release_q", "the release queue is sorted and holds only threads that wait for a refill",
              valid_release_queue, reads=REFERENCES | parts("SchedContext.refills State.time")),
    Invariant("G21", "valid_refills", "refills are ordered, disjoint and sum to at most the period", valid_refills,
              reads=parts("SchedContext.* State.min_budget")),
)  # fmt: skip
