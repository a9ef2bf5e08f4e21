"""Who runs next: ready queues by domain and priority, the release queue by time, and the choice.

Nothing here delivers a message or a fault. Within one priority a thread that was preempted goes to the head of
its queue, one that used up its slice or yielded goes to the tail (seL4: ``kernel/thread.c``).
"""

from capkernel.kernel import refills, vspace
from capkernel.kernel.objects import (
    READY_QUEUE,
    RELEASE_QUEUE,
    RESTART,
    RUNNING,
    TCB,
    KernelBug,
    SchedContext,
    TCBQueue,
    ThreadState,
)
from capkernel.kernel.state import CHOOSE_NEW, PRIORITIES, RESUME_CURRENT, SWITCH_TO, State


def is_runnable(thread: TCB) -> bool:
    """Whether the thread wants to execute instructions."""
    return thread.state is RUNNING or thread.state is RESTART


def is_schedulable(thread: TCB) -> bool:
    """Whether it also has time to do so."""
    sc = thread.sched_context
    return (
        (thread.state is RUNNING or thread.state is RESTART)
        and sc is not None
        and sc.refill_max > 0
        and thread.queued != RELEASE_QUEUE
    )


def _ready_queue(state: State, thread: TCB) -> TCBQueue:
    index = thread.domain * PRIORITIES + thread.priority
    queue = state.ready.get(index)
    if queue is None:
        queue = state.ready[index] = TCBQueue()
    return queue


def _enter_ready_queue(state: State, thread: TCB, *, at_head: bool) -> None:
    if thread.queued == READY_QUEUE:
        return
    queue = _ready_queue(state, thread)
    if queue.head is None:
        state.ready_bitmap[thread.domain] |= 1 << thread.priority
    queue.insert_before(thread, queue.head if at_head else None)
    thread.queued = READY_QUEUE


def enqueue(state: State, thread: TCB) -> None:
    """Put a schedulable thread at the head of its ready queue (tcbSchedEnqueue)."""
    _enter_ready_queue(state, thread, at_head=True)


def append(state: State, thread: TCB) -> None:
    """Put a schedulable thread at the tail of its ready queue (tcbSchedAppend)."""
    _enter_ready_queue(state, thread, at_head=False)


def dequeue(state: State, thread: TCB) -> None:
    """Take a thread out of its ready queue, if it is in one (tcbSchedDequeue)."""
    if thread.queued != READY_QUEUE:
        return
    queue = _ready_queue(state, thread)
    queue.remove(thread)
    thread.queued = 0
    if queue.head is None:
        state.ready_bitmap[thread.domain] &= ~(1 << thread.priority)


def release_time(thread: TCB) -> int:
    """The tick at which a thread in the release queue may run again."""
    sc = thread.sched_context
    if sc is None:
        raise KernelBug("a thread without scheduling context in the release queue")
    return sc.refills[0].time


def release_enqueue(state: State, thread: TCB) -> None:
    """Let a thread wait for its next refill, earliest first (tcbReleaseEnqueue)."""
    time = release_time(thread)
    before = state.release.tail
    after = None
    while before is not None and release_time(before) > time:
        after, before = before, before.queue_prev
    state.release.insert_before(thread, after)
    thread.queued = RELEASE_QUEUE
    if before is None:
        state.reprogram = True


def release_remove(state: State, thread: TCB) -> None:
    """Take a thread out of the release queue, if it is in it (tcbReleaseRemove)."""
    if thread.queued == RELEASE_QUEUE:
        if state.release.head is thread:
            state.reprogram = True
        state.release.remove(thread)
        thread.queued = 0


def leave_queues(state: State, thread: TCB) -> None:
    """Out of whichever of the scheduler's queues it is in."""
    dequeue(state, thread)
    release_remove(state, thread)


def set_thread_state(state: State, thread: TCB, new: ThreadState) -> None:
    """Change what a thread does; if it was running and no longer can, somebody else is chosen."""
    thread.state = new
    if thread is state.current and state.action == RESUME_CURRENT and not is_schedulable(thread):
        state.action = CHOOSE_NEW


def reschedule_required(state: State) -> None:
    """Let ``schedule`` choose afresh; a pending candidate goes to its queue (rescheduleRequired)."""
    if state.action == SWITCH_TO and state.candidate is not None and is_schedulable(state.candidate):
        enqueue(state, state.candidate)
    state.action = CHOOSE_NEW
    state.candidate = None


def possible_switch_to(state: State, thread: TCB) -> None:
    """A thread became able to run: make it the candidate, or queue it (possibleSwitchTo)."""
    if thread.sched_context is None or thread.queued == RELEASE_QUEUE:
        return
    if state.domain != thread.domain:
        enqueue(state, thread)
    elif state.action != RESUME_CURRENT:
        reschedule_required(state)
        enqueue(state, thread)
    else:
        state.action = SWITCH_TO
        state.candidate = thread


def postpone(state: State, sc: SchedContext) -> None:
    """The context's thread waits for its next refill."""
    if sc.tcb is None:
        raise KernelBug("postpone of a scheduling context without thread")
    dequeue(state, sc.tcb)
    release_enqueue(state, sc.tcb)
    state.reprogram = True


def awaken(state: State) -> None:
    """Wake every thread whose refill is ready by now."""
    head = state.release.head
    while head is not None and release_time(head) <= state.time:
        release_remove(state, head)
        possible_switch_to(state, head)
        head = state.release.head


def schedule(state: State) -> None:
    """Make ``state.current`` the thread that is to run, and program the timer for it."""
    if state.release.head is not None:
        awaken(state)
    if state.domain_time == 0:
        state.reprogram = True
        reschedule_required(state)
    if state.action != RESUME_CURRENT:
        _switch_thread(state)
    if state.reprogram or state.current.sched_context is not state.current_sc:
        switch_sched_context(state)
    if state.reprogram:
        _set_next_interrupt(state)
        state.reprogram = False


def _switch_thread(state: State) -> None:
    current = state.current
    was_runnable = is_schedulable(current)
    if was_runnable:
        enqueue(state, current)
    candidate = state.candidate
    if state.action == CHOOSE_NEW or candidate is None:
        _choose_new_thread(state)
    elif _outranked(state, candidate):
        enqueue(state, candidate)
        _choose_new_thread(state)
    elif was_runnable and candidate.priority == current.priority:
        # An equal does not preempt: it goes behind the running thread's equals.
        append(state, candidate)
        _choose_new_thread(state)
    else:
        _switch_to(state, candidate)
    state.action = RESUME_CURRENT
    state.candidate = None


def _outranked(state: State, candidate: TCB) -> bool:
    """Whether a queued thread may have a higher priority than the candidate; checked only if it could be."""
    if state.current is not state.idle and candidate.priority >= state.current.priority:
        return False
    return candidate.priority < state.ready_bitmap[state.domain].bit_length() - 1


def _choose_new_thread(state: State) -> None:
    if state.domain_time == 0:
        _next_domain(state)
    bitmap = state.ready_bitmap[state.domain]
    if bitmap:
        head = state.ready[state.domain * PRIORITIES + bitmap.bit_length() - 1].head
        if head is None:
            raise KernelBug("ready bitmap set for an empty queue")
        _switch_to(state, head)
    else:
        vspace.set_vm_root(state, state.idle)
        state.current = state.idle


def _switch_to(state: State, thread: TCB) -> None:
    vspace.set_vm_root(state, thread)
    dequeue(state, thread)
    state.current = thread


def _next_domain(state: State) -> None:
    """Go on to the next entry of the domain schedule; an end marker (0, 0) leads back to the start."""
    state.domain_index += 1
    schedule_ = state.domain_schedule
    if state.domain_index >= len(schedule_) or schedule_[state.domain_index] == (0, 0):
        state.domain_index = state.domain_start
    state.reprogram = True
    state.work_units = 0
    state.domain, state.domain_time = schedule_[state.domain_index]


def switch_sched_context(state: State) -> None:
    """Charge the old context and make the running thread's the current one."""
    sc = state.idle_sc if state.current is state.idle else state.current.sched_context
    if sc is None:
        raise KernelBug("the running thread has no scheduling context")
    if sc is not state.current_sc:
        state.reprogram = True
        if not sc.sporadic and sc is not state.idle_sc:
            refills.unblock_check(state, sc)
    if state.reprogram:
        commit_time(state)
    state.current_sc = sc


def commit_time(state: State) -> None:
    """Charge the time since the last charge to the current context, which has enough (commitTime)."""
    sc = state.current_sc
    if sc is not state.idle_sc and sc.refill_max > 0:
        used = state.consumed
        if used > 0:
            if sc.period == 0:
                sc.refills[0].amount -= used
                sc.refills[1].amount += used
            else:
                refills.budget_check(state, sc, used)
        sc.consumed += used
    state.consumed = 0


def _set_next_interrupt(state: State) -> None:
    """The timer fires when the budget, the domain's time, or somebody's wait ends, whichever is first."""
    config = state.config
    deadline = (1 << 64) - 1
    if state.current is not state.idle:
        deadline = state.time + state.current_sc.refills[0].amount
    if config.num_domains > 1:
        deadline = min(deadline, state.time + state.domain_time)
    if state.release.head is not None:
        deadline = min(deadline, release_time(state.release.head))
    state.machine.set_deadline(max(0, deadline - config.timer_precision_us * config.ticks_per_us))
