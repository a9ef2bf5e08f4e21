"""Scheduling contexts and SchedControl: who gets how much time (manual, section 6.1.5)."""

from functools import partial

from capkernel.abi import labels
from capkernel.abi.objects import max_refills
from capkernel.kernel import refills, schedcontext, scheduler
from capkernel.kernel.caps import NotificationCap, SchedContextCap, SchedControlCap, ThreadCap
from capkernel.kernel.errors import illegal_operation, invalid_capability, range_error
from capkernel.kernel.invocations.call import Call, Invocation, Results
from capkernel.kernel.objects import TCB, Blocked, Cap, SchedContext, Slot
from capkernel.kernel.state import State

FLAG_SPORADIC = 1


def decode_sched_control(state: State, call: Call, slot: Slot, cap: SchedControlCap) -> Invocation:
    """SchedControl_ConfigureFlags: budget, period (us), extra_refills, badge, flags; scheduling context."""
    if call.label != labels.SCHED_CONTROL_CONFIGURE_FLAGS:
        raise illegal_operation()
    call.require(5, caps=1)
    budget, period, extra, badge, flags = call.args(5)
    _check_times(state, budget, period)
    target = call.cap(0)
    if not isinstance(target, SchedContextCap):
        raise invalid_capability(1)
    most = max_refills(target.size_bits) - refills.MIN_REFILLS
    if extra > most:
        raise range_error(0, most)
    ticks = state.config.ticks_per_us
    return partial(
        perform_configure, state, target.sched_context, budget * ticks, period * ticks,
        extra + refills.MIN_REFILLS, badge, bool(flags & FLAG_SPORADIC),
    )  # fmt: skip


def _check_times(state: State, budget: int, period: int) -> None:
    least, most = state.config.min_budget_us, state.config.max_period_us
    if not least <= budget <= most or not least <= period <= most:
        raise range_error(least, most)
    if budget > period:
        raise range_error(least, period)


def perform_configure(
    state: State, sc: SchedContext, budget: int, period: int, refill_max: int, badge: int, sporadic: bool
) -> None:
    """Fill a context with time, in ticks; budget equal to period means round robin."""
    thread = sc.tcb
    if thread is not None:
        scheduler.leave_queues(state, thread)
        if state.current_sc is sc:
            scheduler.commit_time(state)
    if budget == period:
        refills.configure(state, sc, refills.MIN_REFILLS, budget, 0)
    elif refills.is_active(sc) and thread is not None and scheduler.is_runnable(thread):
        refills.reconfigure(state, sc, refill_max, budget, period)
    else:
        refills.configure(state, sc, refill_max, budget, period)
    if thread is not None:
        schedcontext.resume(state, sc)
        if thread is state.current:
            scheduler.reschedule_required(state)
        elif scheduler.is_runnable(thread):
            scheduler.possible_switch_to(state, thread)
    sc.badge = badge
    sc.sporadic = sporadic


def decode_sched_context(state: State, call: Call, slot: Slot, cap: SchedContextCap) -> Invocation:
    """All scheduling context methods."""
    sc = cap.sched_context
    match call.label:
        case labels.SCHED_CONTEXT_CONSUMED:
            return partial(perform_consumed, state, sc)
        case labels.SCHED_CONTEXT_BIND:
            return _decode_bind(state, call, sc)
        case labels.SCHED_CONTEXT_UNBIND_OBJECT:
            return _decode_unbind_object(state, call, sc)
        case labels.SCHED_CONTEXT_UNBIND:
            if sc.tcb is state.current:
                raise illegal_operation()
            return partial(schedcontext.unbind_all, state, sc)
        case labels.SCHED_CONTEXT_YIELD_TO:
            return _decode_yield_to(state, sc)
        case _:
            raise illegal_operation()


def _decode_bind(state: State, call: Call, sc: SchedContext) -> Invocation:
    call.require(0, caps=1)
    cap: Cap = call.cap(0)
    if isinstance(cap, ThreadCap):
        if sc.tcb is not None or cap.tcb.sched_context is not None:
            raise illegal_operation()
        if isinstance(cap.tcb.state, Blocked) and not refills.is_released(state, sc):
            raise illegal_operation()
        return partial(schedcontext.bind_tcb, state, sc, cap.tcb)
    if isinstance(cap, NotificationCap):
        if sc.notification is not None or cap.notification.sched_context is not None:
            raise illegal_operation()
        return partial(schedcontext.bind_notification, sc, cap.notification)
    raise invalid_capability(1)


def _decode_unbind_object(state: State, call: Call, sc: SchedContext) -> Invocation:
    call.require(0, caps=1)
    cap: Cap = call.cap(0)
    if isinstance(cap, ThreadCap):
        if sc.tcb is not cap.tcb or sc.tcb is state.current:
            raise illegal_operation()
        return partial(schedcontext.unbind_tcb, state, sc)
    if isinstance(cap, NotificationCap):
        if sc.notification is not cap.notification:
            raise illegal_operation()
        return partial(schedcontext.unbind_notification, sc)
    raise invalid_capability(1)


def perform_consumed(state: State, sc: SchedContext) -> Results:
    """Microseconds used since the last time somebody asked."""
    return (schedcontext.take_consumed(state, sc),)


def _decode_yield_to(state: State, sc: SchedContext) -> Invocation:
    thread = sc.tcb
    if thread is None or thread is state.current or thread.priority > state.current.mcp:
        raise illegal_operation()
    return partial(perform_yield_to, state, sc, thread)


def perform_yield_to(state: State, sc: SchedContext, thread: TCB) -> Results:
    """Let the context's thread run before the caller; None means that the answer comes when that is done."""
    caller = state.current
    schedcontext.complete_yield_to(state, sc.yield_from)
    schedcontext.resume(state, sc)
    if not scheduler.is_schedulable(thread):
        return perform_consumed(state, sc)
    scheduler.dequeue(state, thread)
    if thread.priority < caller.priority:
        scheduler.enqueue(state, thread)
        return perform_consumed(state, sc)
    caller.yield_to = sc
    sc.yield_from = caller
    scheduler.enqueue(state, caller)
    scheduler.enqueue(state, thread)
    scheduler.reschedule_required(state)
    return None
