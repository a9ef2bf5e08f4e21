"""SchedControl and SchedContext invocations (manual, section 6.1.5)."""

from functools import partial
from typing import Any, Final

from capkernel.abi import errors as err
from capkernel.abi import labels
from capkernel.abi.objects import max_refills
from specs.abstract import refills
from specs.abstract.caps import Cap, NotificationCap, SchedContextCap, SchedControlCap, ThreadCap
from specs.abstract.invocation import Call, Invocation, Results, require
from specs.abstract.objects import Ptr, Refill
from specs.abstract.schedcontext import (
    complete_yield_to,
    sched_context_bind_ntfn,
    sched_context_bind_tcb,
    sched_context_resume,
    sched_context_unbind_all,
    sched_context_unbind_ntfn,
    sched_context_unbind_tcb,
    sched_context_update_consumed,
)
from specs.abstract.scheduler import (
    commit_time,
    is_runnable,
    is_schedulable,
    leave_scheduler_queues,
    possible_switch_to,
    reschedule_required,
    sc_released,
    set_sched_context,
    tcb_sched_dequeue,
    tcb_sched_enqueue,
)
from specs.abstract.state import State, SyscallError, get_cap, get_notification, get_sched_context, get_tcb, set_tcb
from specs.abstract.thread import BLOCKED

SPORADIC: Final = 1


def decode_sched_control_invocation(s: State, call: Call, cap: SchedControlCap) -> Invocation:
    """Budget, period (us), extra refills, badge, flags; the scheduling context. Raises SyscallError."""
    if call.label != labels.SCHED_CONTROL_CONFIGURE_FLAGS:
        raise SyscallError(err.ILLEGAL_OPERATION)
    require(call, 5, 1)
    budget, period, extra, badge, flags = (call.arg(n) for n in range(5))
    least, most = s.config.min_budget_us, s.config.max_period_us
    for time in (budget, period):
        if not least <= time <= most:
            raise SyscallError(err.RANGE_ERROR, least, most)
    if budget > period:
        raise SyscallError(err.RANGE_ERROR, least, period)
    target = get_cap(s, call.extra_caps[0])
    if not isinstance(target, SchedContextCap):
        raise SyscallError(err.INVALID_CAPABILITY, 1)
    most_extra = max_refills(target.size_bits) - refills.MIN_REFILLS
    if extra > most_extra:
        raise SyscallError(err.RANGE_ERROR, 0, most_extra)
    ticks = s.config.ticks_per_us
    return partial(
        invoke_sched_control_configure_flags, s, target.ptr, budget * ticks, period * ticks,
        extra + refills.MIN_REFILLS, badge, bool(flags & SPORADIC),
    )  # fmt: skip


def invoke_sched_control_configure_flags(
    s: State, sc_ptr: Ptr, budget: int, period: int, refill_max: int, badge: int, sporadic: bool
) -> None:
    """Fill a scheduling context with time (ticks). A budget as long as the period means round robin."""
    sc = get_sched_context(s, sc_ptr)
    thread = sc.tcb
    if thread is not None:
        leave_scheduler_queues(s, thread)
        if sc_ptr == s.cur_sc:
            commit_time(s)
    set_sched_context(s, sc_ptr, **_parameters(s, sc_ptr, budget, period, refill_max))
    if thread is not None:
        sched_context_resume(s, sc_ptr)
        if thread == s.cur_thread:
            reschedule_required(s)
        elif is_runnable(s, thread):
            possible_switch_to(s, thread)
    set_sched_context(s, sc_ptr, badge=badge, sporadic=sporadic)


def _parameters(s: State, sc_ptr: Ptr, budget: int, period: int, refill_max: int) -> dict[str, Any]:
    sc = get_sched_context(s, sc_ptr)
    if budget == period:
        fresh = refills.round_robin(s.cur_time, budget)
        return {"period": 0, "refill_max": refills.MIN_REFILLS, "refills": fresh}
    if sc.refill_max and sc.tcb is not None and is_runnable(s, sc.tcb):
        kept = refills.update(sc.refills, s.cur_time, budget, period)
        return {"period": period, "refill_max": refill_max, "refills": kept}
    return {"period": period, "refill_max": refill_max, "refills": (Refill(s.cur_time, budget),)}


def decode_sched_context_invocation(s: State, call: Call, cap: SchedContextCap) -> Invocation:
    """All methods of scheduling contexts. Raises SyscallError."""
    sc_ptr = cap.ptr
    match call.label:
        case labels.SCHED_CONTEXT_CONSUMED:
            return partial(_consumed, s, sc_ptr)
        case labels.SCHED_CONTEXT_BIND:
            require(call, 0, 1)
            return _decode_bind(s, sc_ptr, get_cap(s, call.extra_caps[0]))
        case labels.SCHED_CONTEXT_UNBIND_OBJECT:
            require(call, 0, 1)
            return _decode_unbind_object(s, sc_ptr, get_cap(s, call.extra_caps[0]))
        case labels.SCHED_CONTEXT_UNBIND:
            if get_sched_context(s, sc_ptr).tcb == s.cur_thread:
                raise SyscallError(err.ILLEGAL_OPERATION)
            return partial(sched_context_unbind_all, s, sc_ptr)
        case labels.SCHED_CONTEXT_YIELD_TO:
            return _decode_yield_to(s, sc_ptr)
        case _:
            raise SyscallError(err.ILLEGAL_OPERATION)


def _consumed(s: State, sc_ptr: Ptr) -> Results:
    return [sched_context_update_consumed(s, sc_ptr)]


def _decode_bind(s: State, sc_ptr: Ptr, cap: Cap) -> Invocation:
    sc = get_sched_context(s, sc_ptr)
    if isinstance(cap, ThreadCap):
        tcb = get_tcb(s, cap.ptr)
        if sc.tcb is not None or tcb.sched_context is not None:
            raise SyscallError(err.ILLEGAL_OPERATION)
        if isinstance(tcb.state, BLOCKED) and not sc_released(s, sc_ptr):
            raise SyscallError(err.ILLEGAL_OPERATION)
        return partial(sched_context_bind_tcb, s, sc_ptr, cap.ptr)
    if isinstance(cap, NotificationCap):
        if sc.notification is not None or get_notification(s, cap.ptr).sched_context is not None:
            raise SyscallError(err.ILLEGAL_OPERATION)
        return partial(sched_context_bind_ntfn, s, sc_ptr, cap.ptr)
    raise SyscallError(err.INVALID_CAPABILITY, 1)


def _decode_unbind_object(s: State, sc_ptr: Ptr, cap: Cap) -> Invocation:
    sc = get_sched_context(s, sc_ptr)
    if isinstance(cap, ThreadCap):
        if sc.tcb != cap.ptr or cap.ptr == s.cur_thread:
            raise SyscallError(err.ILLEGAL_OPERATION)
        return partial(sched_context_unbind_tcb, s, sc_ptr)
    if isinstance(cap, NotificationCap):
        if sc.notification != cap.ptr:
            raise SyscallError(err.ILLEGAL_OPERATION)
        return partial(sched_context_unbind_ntfn, s, sc_ptr)
    raise SyscallError(err.INVALID_CAPABILITY, 1)


def _decode_yield_to(s: State, sc_ptr: Ptr) -> Invocation:
    target = get_sched_context(s, sc_ptr).tcb
    if target is None or target == s.cur_thread:
        raise SyscallError(err.ILLEGAL_OPERATION)
    if get_tcb(s, target).priority > get_tcb(s, s.cur_thread).mcpriority:
        raise SyscallError(err.ILLEGAL_OPERATION)
    return partial(_yield_to, s, sc_ptr, target)


def _yield_to(s: State, sc_ptr: Ptr, target: Ptr) -> Results:
    """Let another thread run first. If it cannot, or is less important, the answer comes at once."""
    caller = s.cur_thread
    complete_yield_to(s, get_sched_context(s, sc_ptr).yield_from)
    sched_context_resume(s, sc_ptr)
    if not is_schedulable(s, target):
        return _consumed(s, sc_ptr)
    tcb_sched_dequeue(s, target)
    if get_tcb(s, target).priority < get_tcb(s, caller).priority:
        tcb_sched_enqueue(s, target)
        return _consumed(s, sc_ptr)
    set_tcb(s, caller, yield_to=sc_ptr)
    set_sched_context(s, sc_ptr, yield_from=caller)
    tcb_sched_enqueue(s, caller)
    tcb_sched_enqueue(s, target)
    reschedule_required(s)
    return None
