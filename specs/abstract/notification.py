"""Notifications: signals that wait for nobody and are never lost (manual, chapter 5)."""

from capkernel.abi import registers as reg
from specs.abstract.ipc_cancel import cancel_ipc, leave_notification
from specs.abstract.objects import BlockedOnNotification, BlockedOnReceive, Notification, Ptr, Restart, Running
from specs.abstract.schedcontext import sched_context_donate, sched_context_resume
from specs.abstract.scheduler import (
    if_sporadic_unblock_check,
    is_schedulable,
    possible_switch_to,
    reschedule_required,
    set_sched_context,
    set_thread_state,
)
from specs.abstract.state import State, get_notification, get_sched_context, get_tcb, set_registers, set_tcb


def by_priority(s: State, queue: tuple[Ptr, ...], thread: Ptr) -> tuple[Ptr, ...]:
    """A queue with one more thread: highest priority first, and who came first among equals."""
    priority = get_tcb(s, thread).priority
    before = [other for other in queue if get_tcb(s, other).priority >= priority]
    return (*before, thread, *queue[len(before) :])


def send_signal(s: State, ntfn: Ptr, badge: int) -> None:
    """Wake the first who waits, or the bound thread if it receives; else keep the signal."""
    item = get_notification(s, ntfn)
    if item.waiting:
        leave_notification(s, ntfn, item.waiting[0])
        _wake(s, ntfn, item.waiting[0], badge)
    elif item.badge is not None:
        s.kheap[ntfn] = item._replace(badge=item.badge | badge)
    elif item.bound_tcb is not None and isinstance(get_tcb(s, item.bound_tcb).state, BlockedOnReceive):
        cancel_ipc(s, item.bound_tcb)
        _wake(s, ntfn, item.bound_tcb, badge)
    else:
        s.kheap[ntfn] = item._replace(badge=badge)


def _wake(s: State, ntfn: Ptr, thread: Ptr, badge: int) -> None:
    set_thread_state(s, thread, Running)
    set_registers(s, thread, {reg.BADGE_REGISTER: badge})
    maybe_donate_sc(s, thread, ntfn)
    if is_schedulable(s, thread):
        possible_switch_to(s, thread)
    if_sporadic_unblock_check(s, get_tcb(s, thread).sched_context)


def maybe_donate_sc(s: State, thread: Ptr, ntfn: Ptr) -> None:
    """A thread without time gets the notification's scheduling context, if nobody has it."""
    sc = get_notification(s, ntfn).sched_context
    if sc is not None and get_tcb(s, thread).sched_context is None and get_sched_context(s, sc).tcb is None:
        sched_context_donate(s, sc, thread)
        sched_context_resume(s, sc)


def maybe_return_sc(s: State, thread: Ptr, ntfn: Ptr) -> None:
    """A thread that waits again gives it back."""
    sc = get_notification(s, ntfn).sched_context
    if sc is not None and sc == get_tcb(s, thread).sched_context:
        set_tcb(s, thread, sched_context=None)
        set_sched_context(s, sc, tcb=None)
        if thread == s.cur_thread:
            reschedule_required(s)


def receive_signal(s: State, thread: Ptr, ntfn: Ptr, is_blocking: bool) -> None:
    """Take the signals that are there, or wait for one."""
    item = get_notification(s, ntfn)
    if item.badge is not None:
        _take_badge(s, thread, ntfn)
        if_sporadic_unblock_check(s, get_tcb(s, thread).sched_context)
    elif is_blocking:
        set_thread_state(s, thread, BlockedOnNotification(ntfn))
        s.kheap[ntfn] = item._replace(waiting=by_priority(s, item.waiting, thread))
        maybe_return_sc(s, thread, ntfn)
    else:
        set_registers(s, thread, {reg.BADGE_REGISTER: 0})


def complete_signal(s: State, ntfn: Ptr, thread: Ptr) -> None:
    """Instead of receiving, a thread takes what its bound notification has for it."""
    _take_badge(s, thread, ntfn)
    sc = get_tcb(s, thread).sched_context
    if sc is not None and sc == get_notification(s, ntfn).sched_context:
        if_sporadic_unblock_check(s, sc)


def _take_badge(s: State, thread: Ptr, ntfn: Ptr) -> None:
    item = get_notification(s, ntfn)
    set_registers(s, thread, {reg.BADGE_REGISTER: item.badge or 0})
    s.kheap[ntfn] = item._replace(badge=None)
    maybe_donate_sc(s, thread, ntfn)


def cancel_all_signals(s: State, ntfn: Ptr) -> None:
    """The notification goes away: who waits makes the system call again."""
    item = get_notification(s, ntfn)
    if not item.waiting:
        return
    s.kheap[ntfn] = item._replace(waiting=())
    for thread in item.waiting:
        set_thread_state(s, thread, Restart)
        if_sporadic_unblock_check(s, get_tcb(s, thread).sched_context)
        possible_switch_to(s, thread)
    reschedule_required(s)


def bind_notification(s: State, thread: Ptr, ntfn: Ptr) -> None:
    """Signals reach the thread also while it receives from an endpoint."""
    s.kheap[ntfn] = get_notification(s, ntfn)._replace(bound_tcb=thread)
    set_tcb(s, thread, bound_notification=ntfn)


def unbind_notification(s: State, thread: Ptr) -> None:
    """Undo that."""
    ntfn = get_tcb(s, thread).bound_notification
    if ntfn is not None:
        s.kheap[ntfn] = get_notification(s, ntfn)._replace(bound_tcb=None)
        set_tcb(s, thread, bound_notification=None)


def unbind_maybe_notification(s: State, ntfn: Ptr) -> None:
    """The notification goes away: nobody is bound to it any more."""
    item: Notification = get_notification(s, ntfn)
    if item.bound_tcb is not None:
        unbind_notification(s, item.bound_tcb)
