"""Charging time, and preemption (manual, section 6.1.4)."""

from specs.abstract.faults import handle_timeout, is_timeout_handler_valid
from specs.abstract.objects import IDLE_SC, Restart
from specs.abstract.scheduler import (
    is_runnable,
    is_schedulable,
    postpone,
    refill_budget_check,
    refill_ready,
    refill_sufficient,
    reschedule_required,
    set_sched_context,
    set_thread_state,
    tcb_sched_append,
)
from specs.abstract.state import Interrupted, State, get_sched_context


def update_time_stamp(s: State) -> None:
    """Look at the clock: what has passed is to be charged, and is taken off the domain's turn."""
    before, s.cur_time = s.cur_time, s.answers.clock()
    passed = s.cur_time - before
    s.consumed_time += passed
    if s.config.num_domains > 1:
        s.domain_time = 0 if passed + s.config.min_budget >= s.domain_time else s.domain_time - passed


def check_budget(s: State) -> bool:
    """Whether the current thread may go on; if its budget is used up, its turn ends."""
    if s.cur_sc == IDLE_SC or refill_sufficient(s, s.cur_sc, s.consumed_time):
        return s.domain_time > 0
    charge_budget(s, s.consumed_time, True)
    return False


def check_budget_restart(s: State) -> bool:
    """As ``check_budget``; who may not go on will do the same again."""
    may = check_budget(s)
    if not may and is_runnable(s, s.cur_thread):
        set_thread_state(s, s.cur_thread, Restart)
    return may


def charge_budget(s: State, consumed: int, can_timeout_fault: bool) -> None:
    """End the current scheduling context's turn."""
    if s.cur_sc != IDLE_SC:
        sc = get_sched_context(s, s.cur_sc)
        if sc.period:
            refill_budget_check(s, s.cur_sc, consumed)
        else:
            left, spent = sc.refills
            whole = left._replace(amount=left.amount + spent.amount), spent._replace(amount=0)
            set_sched_context(s, s.cur_sc, refills=whole)
        set_sched_context(s, s.cur_sc, consumed=sc.consumed + consumed)
    s.consumed_time = 0
    if is_schedulable(s, s.cur_thread):
        end_timeslice(s, can_timeout_fault)
        reschedule_required(s)
        s.reprogram_timer = True


def end_timeslice(s: State, can_timeout_fault: bool) -> None:
    """Round robin goes to the end of its queue; the others wait for budget, or tell their handler."""
    if can_timeout_fault and get_sched_context(s, s.cur_sc).period and is_timeout_handler_valid(s, s.cur_thread):
        handle_timeout(s, s.cur_thread, s.cur_sc)
    elif refill_ready(s, s.cur_sc) and refill_sufficient(s, s.cur_sc, 0):
        tcb_sched_append(s, s.cur_thread)
    else:
        postpone(s, s.cur_sc)


def handle_yield(s: State) -> None:
    """Give up the first refill. What was not used of it does not count as consumed."""
    sc = get_sched_context(s, s.cur_sc)
    used = sc.consumed + s.consumed_time
    charge_budget(s, sc.refills[0].amount, False)
    set_sched_context(s, s.cur_sc, consumed=used)


def preemption_point(s: State) -> None:
    """Between two units of work, now and then: raises Interrupted if something else is due."""
    s.work_units += 1
    if s.work_units < s.config.work_units_limit:
        return
    s.work_units = 0
    update_time_stamp(s)
    sc = get_sched_context(s, s.cur_sc)
    spent = sc.refill_max == 0 or not refill_sufficient(s, s.cur_sc, s.consumed_time)
    if s.answers.irq_pending() or s.domain_time == 0 or spent:
        raise Interrupted


def charge_after_preemption(s: State) -> None:
    """What was done may have taken the thread, or its scheduling context, away."""
    if is_schedulable(s, s.cur_thread):
        check_budget(s)
    elif s.cur_sc != IDLE_SC and get_sched_context(s, s.cur_sc).refill_max:
        charge_budget(s, s.consumed_time, False)
    else:
        s.consumed_time = 0
