"""Who runs (manual, section 6.1): ready queues, the release queue, and the choice."""

from typing import Any

from specs.abstract import refills
from specs.abstract.objects import IDLE_SC, IDLE_THREAD, Ptr, Refill, Restart, Running, ThreadState
from specs.abstract.state import (
    ChooseNewThread,
    ResumeCurrentThread,
    State,
    get_sched_context,
    get_tcb,
    set_tcb,
)
from specs.abstract.vspace import set_vm_root

WORD_MAX = 2**64 - 1


# Scheduling contexts and time


def set_sched_context(s: State, ptr: Ptr, **fields: Any) -> None:
    """Change fields of a scheduling context."""
    s.kheap[ptr] = get_sched_context(s, ptr)._replace(**fields)


def refill_head(s: State, ptr: Ptr) -> Refill:
    """The refill that a context is using, or will use next."""
    return get_sched_context(s, ptr).refills[0]


def refill_ready(s: State, ptr: Ptr) -> bool:
    """Whether its time has come."""
    return refill_head(s, ptr).time <= s.cur_time


def refill_sufficient(s: State, ptr: Ptr, usage: int) -> bool:
    """Whether at least the least budget is left of it after ``usage`` ticks."""
    return refill_head(s, ptr).amount - usage >= s.config.min_budget


def sc_released(s: State, ptr: Ptr) -> bool:
    """Whether a thread on this context could run now."""
    return get_sched_context(s, ptr).refill_max > 0 and refill_ready(s, ptr)


def refill_budget_check(s: State, ptr: Ptr, usage: int) -> None:
    """Charge time to a context that is not round robin."""
    sc, config = get_sched_context(s, ptr), s.config
    charged = refills.budget_check(
        sc.refills, usage, sc.period, sc.refill_max, config.min_budget, config.max_release_time
    )
    set_sched_context(s, ptr, refills=charged)


def refill_unblock_check(s: State, ptr: Ptr) -> None:
    """A context is used again after a pause."""
    sc = get_sched_context(s, ptr)
    if sc.period and refill_ready(s, ptr):
        set_sched_context(s, ptr, refills=refills.unblock_check(sc.refills, s.cur_time))
        s.reprogram_timer = True


def if_sporadic_unblock_check(s: State, ptr: Ptr | None) -> None:
    """A sporadic context has its check when its thread wakes up, the others when they are switched to."""
    if ptr is not None and ptr != s.cur_sc and get_sched_context(s, ptr).sporadic:
        refill_unblock_check(s, ptr)


# Threads


def is_runnable(s: State, thread: Ptr) -> bool:
    """Whether a thread wants the processor."""
    return get_tcb(s, thread).state in (Running, Restart)


def is_schedulable(s: State, thread: Ptr) -> bool:
    """Whether it also has a scheduling context that lets it have it."""
    tcb = get_tcb(s, thread)
    if tcb.state not in (Running, Restart) or tcb.sched_context is None:
        return False
    return get_sched_context(s, tcb.sched_context).refill_max > 0 and thread not in s.release_queue


def set_thread_state(s: State, thread: Ptr, state: ThreadState) -> None:
    """Change what a thread does. When the current thread can run no longer, another will be chosen."""
    set_tcb(s, thread, state=state)
    if thread == s.cur_thread and s.scheduler_action == ResumeCurrentThread and not is_schedulable(s, thread):
        s.scheduler_action = ChooseNewThread


# Queues


def in_ready_queue(s: State, thread: Ptr) -> bool:
    """Whether a thread waits in the ready queue of its domain and priority."""
    tcb = get_tcb(s, thread)
    return thread in s.ready_queues.get((tcb.domain, tcb.priority), ())


def tcb_sched_enqueue(s: State, thread: Ptr) -> None:
    """Put a thread first among its equals, unless it is in a ready queue."""
    tcb = get_tcb(s, thread)
    queue = s.ready_queues.get((tcb.domain, tcb.priority), ())
    if thread not in queue:
        s.ready_queues[tcb.domain, tcb.priority] = (thread, *queue)


def tcb_sched_append(s: State, thread: Ptr) -> None:
    """Put a thread last among its equals, unless it is in a ready queue."""
    tcb = get_tcb(s, thread)
    queue = s.ready_queues.get((tcb.domain, tcb.priority), ())
    if thread not in queue:
        s.ready_queues[tcb.domain, tcb.priority] = (*queue, thread)


def tcb_sched_dequeue(s: State, thread: Ptr) -> None:
    """Take a thread out of its ready queue."""
    tcb = get_tcb(s, thread)
    place = tcb.domain, tcb.priority
    left = tuple(other for other in s.ready_queues.get(place, ()) if other != thread)
    if left:
        s.ready_queues[place] = left
    else:
        s.ready_queues.pop(place, None)


def release_time(s: State, thread: Ptr) -> int:
    """When a thread that waits for budget gets it."""
    sc = get_tcb(s, thread).sched_context
    assert sc is not None
    return refill_head(s, sc).time


def tcb_release_enqueue(s: State, thread: Ptr) -> None:
    """Let a thread wait for its budget: the earliest first, and who came first among equals."""
    time = release_time(s, thread)
    sooner = tuple(other for other in s.release_queue if release_time(s, other) <= time)
    s.release_queue = (*sooner, thread, *s.release_queue[len(sooner) :])
    if not sooner:
        s.reprogram_timer = True


def tcb_release_remove(s: State, thread: Ptr) -> None:
    """Take a thread out of the release queue."""
    if s.release_queue[:1] == (thread,):
        s.reprogram_timer = True
    s.release_queue = tuple(other for other in s.release_queue if other != thread)


def leave_scheduler_queues(s: State, thread: Ptr) -> None:
    """A thread will not run until it is enqueued again."""
    tcb_sched_dequeue(s, thread)
    tcb_release_remove(s, thread)


def postpone(s: State, sc_ptr: Ptr) -> None:
    """The thread of a context waits for the next refill."""
    thread = get_sched_context(s, sc_ptr).tcb
    assert thread is not None
    tcb_sched_dequeue(s, thread)
    tcb_release_enqueue(s, thread)
    s.reprogram_timer = True


# The choice


def reschedule_required(s: State) -> None:
    """Somebody is to be chosen; who was to be switched to is one of many again."""
    action = s.scheduler_action
    if isinstance(action, int) and is_schedulable(s, action):
        tcb_sched_enqueue(s, action)
    s.scheduler_action = ChooseNewThread


def possible_switch_to(s: State, thread: Ptr) -> None:
    """A thread has become able to run: perhaps it is to run at once."""
    tcb = get_tcb(s, thread)
    if tcb.sched_context is None or thread in s.release_queue:
        return
    if tcb.domain != s.cur_domain:
        tcb_sched_enqueue(s, thread)
    elif s.scheduler_action != ResumeCurrentThread:
        reschedule_required(s)
        tcb_sched_enqueue(s, thread)
    else:
        s.scheduler_action = thread


def schedule(s: State) -> None:
    """Choose the thread that runs now, charge the one that ran, set the timer."""
    awaken(s)
    if s.domain_time == 0:
        s.reprogram_timer = True
        reschedule_required(s)
    if s.scheduler_action != ResumeCurrentThread:
        _switch(s)
    switch_sched_context(s)
    if s.reprogram_timer:
        set_next_interrupt(s)
        s.reprogram_timer = False


def awaken(s: State) -> None:
    """Wake whoever has waited long enough for budget."""
    while s.release_queue and release_time(s, s.release_queue[0]) <= s.cur_time:
        thread = s.release_queue[0]
        tcb_release_remove(s, thread)
        possible_switch_to(s, thread)


def _switch(s: State) -> None:
    current, candidate = s.cur_thread, s.scheduler_action
    could_go_on = is_schedulable(s, current)
    if could_go_on:
        tcb_sched_enqueue(s, current)
    if isinstance(candidate, int):
        mine, its = get_tcb(s, current).priority, get_tcb(s, candidate).priority
        if (current == IDLE_THREAD or its < mine) and its < _highest_priority(s):
            tcb_sched_enqueue(s, candidate)
            schedule_choose_new_thread(s)
        elif could_go_on and its == mine:
            # Nobody is preempted by an equal.
            tcb_sched_append(s, candidate)
            schedule_choose_new_thread(s)
        else:
            switch_to_thread(s, candidate)
    else:
        schedule_choose_new_thread(s)
    s.scheduler_action = ResumeCurrentThread


def _highest_priority(s: State) -> int:
    """Of the ready threads of the current domain; -1 if there are none."""
    return max((priority for domain, priority in s.ready_queues if domain == s.cur_domain), default=-1)


def schedule_choose_new_thread(s: State) -> None:
    """The first of the highest priority; if nobody is ready, the idle thread."""
    if s.domain_time == 0:
        next_domain(s)
    highest = _highest_priority(s)
    if highest < 0:
        set_vm_root(s, IDLE_THREAD)
        s.cur_thread = IDLE_THREAD
    else:
        switch_to_thread(s, s.ready_queues[s.cur_domain, highest][0])


def switch_to_thread(s: State, thread: Ptr) -> None:
    """Let a thread run."""
    set_vm_root(s, thread)
    tcb_sched_dequeue(s, thread)
    s.cur_thread = thread


def next_domain(s: State) -> None:
    """The next entry of the schedule; an entry (0, 0) marks its end."""
    s.domain_index += 1
    if s.domain_index >= len(s.domain_list) or s.domain_list[s.domain_index] == (0, 0):
        s.domain_index = s.domain_start
    s.cur_domain, s.domain_time = s.domain_list[s.domain_index]
    s.reprogram_timer = True
    s.work_units = 0


def switch_sched_context(s: State) -> None:
    """Time is charged to the current thread's scheduling context from now on."""
    sc_ptr = IDLE_SC if s.cur_thread == IDLE_THREAD else get_tcb(s, s.cur_thread).sched_context
    assert sc_ptr is not None
    if sc_ptr != s.cur_sc:
        s.reprogram_timer = True
        if sc_ptr != IDLE_SC and not get_sched_context(s, sc_ptr).sporadic:
            refill_unblock_check(s, sc_ptr)
    if s.reprogram_timer:
        commit_time(s)
    s.cur_sc = sc_ptr


def commit_time(s: State) -> None:
    """Charge the time that has passed to the current context, which has enough."""
    used, s.consumed_time = s.consumed_time, 0
    if s.cur_sc == IDLE_SC:
        return
    sc = get_sched_context(s, s.cur_sc)
    if sc.refill_max == 0:
        return
    if used and sc.period == 0:
        left, spent = sc.refills
        moved = left._replace(amount=left.amount - used), spent._replace(amount=spent.amount + used)
        set_sched_context(s, s.cur_sc, refills=moved)
    elif used:
        refill_budget_check(s, s.cur_sc, used)
    set_sched_context(s, s.cur_sc, consumed=sc.consumed + used)


def set_next_interrupt(s: State) -> None:
    """The timer is set to when the budget, the domain's turn or somebody's wait ends, a little early."""
    times = [WORD_MAX]
    if s.cur_thread != IDLE_THREAD:
        times.append(s.cur_time + refill_head(s, s.cur_sc).amount)
    if s.config.num_domains > 1:
        times.append(s.cur_time + s.domain_time)
    if s.release_queue:
        times.append(release_time(s, s.release_queue[0]))
    s.out.deadline = max(0, min(times) - s.config.timer_precision)
