"""Notifications: signals that are never lost and never wait (manual, chapter 5)."""

from collections.abc import Callable

from capkernel.abi.registers import BADGE_REGISTER
from capkernel.kernel import refills, schedcontext, scheduler
from capkernel.kernel.cancel import cancel_ipc
from capkernel.kernel.objects import (
    NTFN_ACTIVE,
    NTFN_IDLE,
    NTFN_WAITING,
    RESTART,
    RUNNING,
    TCB,
    BlockedOnNotification,
    BlockedOnReceive,
    KernelBug,
    Notification,
)
from capkernel.kernel.state import State


def send_signal(state: State, notification: Notification, badge: int) -> None:
    """Wake the first waiting thread, or the bound one if it receives; else remember the badge (sendSignal)."""
    if notification.state == NTFN_ACTIVE:
        notification.badge |= badge
    elif notification.state == NTFN_WAITING:
        woken = notification.queue.head
        if woken is None:
            raise KernelBug("a waiting notification without waiting thread")
        notification.dequeue(woken)
        _wake(state, notification, woken, badge)
    else:
        bound = notification.bound_tcb
        if bound is not None and isinstance(bound.state, BlockedOnReceive):
            cancel_ipc(state, bound)
            _wake(state, notification, bound, badge)
        else:
            notification.state = NTFN_ACTIVE
            notification.badge = badge


def _wake(state: State, notification: Notification, thread: TCB, badge: int) -> None:
    scheduler.set_thread_state(state, thread, RUNNING)
    thread.registers[BADGE_REGISTER] = badge
    _maybe_donate(state, notification, thread)
    if scheduler.is_schedulable(thread):
        scheduler.possible_switch_to(state, thread)
    refills.sporadic_unblock(state, thread.sched_context)


def _maybe_donate(state: State, notification: Notification, thread: TCB) -> None:
    """A thread without time gets the notification's, if that is free (maybeDonateSchedContext)."""
    sc = notification.sched_context
    if thread.sched_context is None and sc is not None and sc.tcb is None:
        schedcontext.donate(state, sc, thread)
        schedcontext.resume(state, sc)


def maybe_return_sched_context(state: State, notification: Notification, thread: TCB) -> None:
    """A thread that waits again gives back the time it had from the notification (maybeReturnSchedContext)."""
    sc = notification.sched_context
    if sc is not None and sc is thread.sched_context:
        thread.sched_context = None
        sc.tcb = None
        if thread is state.current:
            scheduler.reschedule_required(state)


def receive_signal(state: State, thread: TCB, notification: Notification, *, blocking: bool) -> None:
    """Take the pending signals, or wait for one (receiveSignal)."""
    if notification.state == NTFN_ACTIVE:
        _take_badge(notification, thread)
        _maybe_donate(state, notification, thread)
        refills.sporadic_unblock(state, thread.sched_context)
    elif blocking:
        scheduler.set_thread_state(state, thread, BlockedOnNotification(notification))
        notification.enqueue(thread)
        maybe_return_sched_context(state, notification, thread)
    else:
        thread.registers[BADGE_REGISTER] = 0


def complete_signal(state: State, notification: Notification, thread: TCB) -> None:
    """A thread about to receive finds its bound notification active and takes that (completeSignal)."""
    _take_badge(notification, thread)
    _maybe_donate(state, notification, thread)
    if thread.sched_context is notification.sched_context:
        refills.sporadic_unblock(state, thread.sched_context)


def _take_badge(notification: Notification, thread: TCB) -> None:
    thread.registers[BADGE_REGISTER] = notification.badge
    notification.state = NTFN_IDLE


Pause = Callable[[State], None]
"""A preemption point, for what may be interrupted between two threads."""


def cancel_all_signals(state: State, notification: Notification, pause: Pause | None = None) -> None:
    """The notification goes away: all who wait make their system call again (cancelAllSignals).

    ``pause`` is called after each; what it raises leaves the rest for the next time.
    """
    if notification.state != NTFN_WAITING:
        return
    while (thread := notification.queue.head) is not None:
        notification.dequeue(thread)
        scheduler.set_thread_state(state, thread, RESTART)
        refills.sporadic_unblock(state, thread.sched_context)
        scheduler.possible_switch_to(state, thread)
        if pause is not None:
            scheduler.reschedule_required(state)
            pause(state)
    scheduler.reschedule_required(state)


def bind(thread: TCB, notification: Notification) -> None:
    """Let signals reach the thread while it receives on an endpoint."""
    notification.bound_tcb = thread
    thread.bound_notification = notification


def unbind(thread: TCB) -> None:
    """Undo ``bind``, if the thread is bound."""
    if thread.bound_notification is not None:
        thread.bound_notification.bound_tcb = None
        thread.bound_notification = None
