"""Charging time: the clock is read at each kernel entry, and what has passed is charged to the current context."""

from capkernel.kernel import refills, scheduler
from capkernel.kernel.errors import Preempted
from capkernel.kernel.fault_delivery import handle_timeout, has_timeout_handler
from capkernel.kernel.objects import RESTART
from capkernel.kernel.state import State


def update_timestamp(state: State) -> None:
    """Read the clock; what has passed is to be charged, and leaves the domain's time (updateTimestamp)."""
    now = state.machine.now()
    passed = now - state.time
    state.time = now
    state.consumed += passed
    if state.config.num_domains > 1:
        expired = passed + state.min_budget >= state.domain_time
        state.domain_time = 0 if expired else state.domain_time - passed


def check_budget(state: State) -> bool:
    """Whether the current thread may go on; if its budget is used up it is charged and sent to wait (checkBudget)."""
    sc = state.current_sc
    if sc is state.idle_sc or sc.refills[0].amount - state.consumed >= state.min_budget:
        return state.domain_time > 0
    charge_budget(state, state.consumed, can_timeout_fault=True)
    return False


def enter(state: State) -> bool:
    """At a fault: read the clock and charge time; false if it has to happen again later (MCS_DO_IF_BUDGET)."""
    update_timestamp(state)
    return admit(state)


def admit(state: State) -> bool:
    """Whether there is budget to go on; if not, the current thread does the same again later (checkBudgetRestart)."""
    if check_budget(state):
        return True
    if scheduler.is_runnable(state.current):
        scheduler.set_thread_state(state, state.current, RESTART)
    return False


def charge_budget(state: State, consumed: int, *, can_timeout_fault: bool) -> None:
    """End the current context's turn, with ``consumed`` ticks used of it (chargeBudget)."""
    sc = state.current_sc
    if sc is not state.idle_sc:
        if sc.period == 0:
            head, tail = sc.refills
            head.amount, tail.amount = head.amount + tail.amount, 0
        else:
            refills.budget_check(state, sc, consumed)
        sc.consumed += consumed
    state.consumed = 0
    if scheduler.is_schedulable(state.current):
        _end_timeslice(state, can_timeout_fault=can_timeout_fault)
        scheduler.reschedule_required(state)
        state.reprogram = True


def _end_timeslice(state: State, *, can_timeout_fault: bool) -> None:
    """Timeout fault, back of the queue, or wait for the next refill (endTimeslice)."""
    sc, thread = state.current_sc, state.current
    sc.turn_ended = state.config.fix_lent_turns and sc.reply is not None
    if can_timeout_fault and sc.period != 0 and has_timeout_handler(thread):
        handle_timeout(state, thread, sc)
    elif refills.is_ready(state, sc) and refills.is_sufficient(state, sc):
        scheduler.append(state, thread)
    else:
        scheduler.postpone(state, sc)


def yield_now(state: State) -> None:
    """Give up what is left of the first refill, without being charged for it as consumed (handleYield)."""
    sc = state.current_sc
    consumed = sc.consumed + state.consumed
    charge_budget(state, sc.refills[0].amount, can_timeout_fault=False)
    sc.consumed = consumed


def preemption_point(state: State, units: int = 1) -> None:
    """Between two units of a long operation; raises Preempted if something else must happen now (preemptionPoint).

    ``units`` counts several at once, never more than are left until the next check.
    """
    state.work_units += units
    if state.work_units < state.config.work_units_per_preemption:
        return
    state.work_units = 0
    update_timestamp(state)
    sc = state.current_sc
    spent = sc.refill_max == 0 or not refills.is_sufficient(state, sc, state.consumed)
    if state.machine.irq_pending() or state.domain_time == 0 or spent:
        raise Preempted


def units_until_check(state: State) -> int:
    """How many units of work may be done before the next check."""
    return max(1, state.config.work_units_per_preemption - state.work_units)


def after_preemption(state: State) -> None:
    """A long operation stopped; it may have destroyed its own thread or time meanwhile (mcsPreemptionPoint)."""
    if scheduler.is_schedulable(state.current):
        check_budget(state)
    elif state.current_sc.refill_max > 0:
        charge_budget(state, state.consumed, can_timeout_fault=False)
    else:
        state.consumed = 0
