"""Scheduling contexts and whom they let run (manual, section 6.1.5)."""

from capkernel.abi import message as msg
from capkernel.abi import registers as reg
from specs.abstract.objects import Ptr
from specs.abstract.scheduler import (
    if_sporadic_unblock_check,
    is_schedulable,
    leave_scheduler_queues,
    postpone,
    refill_ready,
    refill_sufficient,
    reschedule_required,
    set_sched_context,
    tcb_sched_enqueue,
)
from specs.abstract.state import State, get_notification, get_sched_context, get_tcb, set_registers, set_tcb


def sched_context_resume(s: State, sc_ptr: Ptr | None) -> None:
    """If a context's thread wants to run but there is no budget now, it waits for it."""
    thread = None if sc_ptr is None else get_sched_context(s, sc_ptr).tcb
    if sc_ptr is None or thread is None or not is_schedulable(s, thread):
        return
    if not (refill_ready(s, sc_ptr) and refill_sufficient(s, sc_ptr, 0)):
        postpone(s, sc_ptr)


def sched_context_bind_tcb(s: State, sc_ptr: Ptr, thread: Ptr) -> None:
    """Let a thread run on a context."""
    set_tcb(s, thread, sched_context=sc_ptr)
    set_sched_context(s, sc_ptr, tcb=thread)
    if_sporadic_unblock_check(s, sc_ptr)
    sched_context_resume(s, sc_ptr)
    if is_schedulable(s, thread):
        tcb_sched_enqueue(s, thread)
        reschedule_required(s)


def sched_context_unbind_tcb(s: State, sc_ptr: Ptr) -> None:
    """A context's thread, if it has one, loses it."""
    thread = get_sched_context(s, sc_ptr).tcb
    if thread is None:
        return
    if thread == s.cur_thread:
        reschedule_required(s)
    leave_scheduler_queues(s, thread)
    set_tcb(s, thread, sched_context=None)
    set_sched_context(s, sc_ptr, tcb=None)


def sched_context_donate(s: State, sc_ptr: Ptr, to: Ptr) -> None:
    """Another thread, which has none, runs on the context from now on."""
    giver = get_sched_context(s, sc_ptr).tcb
    if giver is not None:
        leave_scheduler_queues(s, giver)
        set_tcb(s, giver, sched_context=None)
        if giver in (s.cur_thread, s.scheduler_action):
            reschedule_required(s)
    set_sched_context(s, sc_ptr, tcb=to)
    set_tcb(s, to, sched_context=sc_ptr)


def sched_context_bind_ntfn(s: State, sc_ptr: Ptr, ntfn: Ptr) -> None:
    """Whoever is woken by the notification, and has no context, runs on this one."""
    s.kheap[ntfn] = get_notification(s, ntfn)._replace(sched_context=sc_ptr)
    set_sched_context(s, sc_ptr, notification=ntfn)


def sched_context_unbind_ntfn(s: State, sc_ptr: Ptr) -> None:
    """Undo that."""
    ntfn = get_sched_context(s, sc_ptr).notification
    if ntfn is not None:
        s.kheap[ntfn] = get_notification(s, ntfn)._replace(sched_context=None)
        set_sched_context(s, sc_ptr, notification=None)


def sched_context_unbind_all(s: State, sc_ptr: Ptr) -> None:
    """A context belongs to nobody; no answer brings it back to a caller."""
    sched_context_unbind_tcb(s, sc_ptr)
    sched_context_unbind_ntfn(s, sc_ptr)
    set_sched_context(s, sc_ptr, replies=())


def sched_context_update_consumed(s: State, sc_ptr: Ptr) -> int:
    """The microseconds used since this was last asked."""
    consumed = get_sched_context(s, sc_ptr).consumed
    set_sched_context(s, sc_ptr, consumed=0)
    return consumed // s.config.ticks_per_us


def sched_context_cancel_yield_to(s: State, thread: Ptr) -> None:
    """A thread no longer waits for the one that it yielded to."""
    sc_ptr = get_tcb(s, thread).yield_to
    if sc_ptr is not None:
        set_sched_context(s, sc_ptr, yield_from=None)
        set_tcb(s, thread, yield_to=None)


def complete_yield_to(s: State, thread: Ptr | None) -> None:
    """The answer to YieldTo: what the other one used."""
    sc_ptr = None if thread is None else get_tcb(s, thread).yield_to
    if thread is None or sc_ptr is None:
        return
    used = sched_context_update_consumed(s, sc_ptr)
    answer = {reg.BADGE_REGISTER: 0, reg.MSG_INFO_REGISTER: msg.message_info(0, 1), reg.MSG_REGISTERS[0]: used}
    set_registers(s, thread, answer)
    sched_context_cancel_yield_to(s, thread)
