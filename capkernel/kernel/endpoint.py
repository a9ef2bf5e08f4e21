"""Endpoints: where a sender and a receiver meet (manual, chapter 4)."""

from capkernel.abi.registers import BADGE_REGISTER
from capkernel.kernel import notification as notifications
from capkernel.kernel import refills, schedcontext, scheduler
from capkernel.kernel import reply as replies
from capkernel.kernel.cancel import cancel_ipc
from capkernel.kernel.notification import Pause
from capkernel.kernel.objects import (
    EP_IDLE,
    EP_RECEIVE,
    EP_SEND,
    INACTIVE,
    NTFN_ACTIVE,
    RESTART,
    RUNNING,
    TCB,
    BlockedOnReceive,
    BlockedOnSend,
    Endpoint,
    KernelBug,
    Reply,
    Timeout,
)
from capkernel.kernel.state import State
from capkernel.kernel.transfer import do_ipc_transfer


def send_ipc(
    state: State, thread: TCB, endpoint: Endpoint, badge: int, *,
    blocking: bool, is_call: bool, can_grant: bool, can_grant_reply: bool, can_donate: bool,
) -> None:  # fmt: skip
    """Send the thread's message, or its fault, to the first receiver; queue if there is none (sendIPC)."""
    if endpoint.state != EP_RECEIVE:
        if blocking:
            blocked = BlockedOnSend(endpoint, badge, can_grant, can_grant_reply, is_call)
            scheduler.set_thread_state(state, thread, blocked)
            endpoint.enqueue(thread, EP_SEND)
        return
    receiver = endpoint.queue.head
    if receiver is None or not isinstance(receiver.state, BlockedOnReceive):
        raise KernelBug("a receiving endpoint without receiver")
    reply = receiver.state.reply
    endpoint.dequeue(receiver)
    do_ipc_transfer(state, thread, endpoint, badge, receiver, can_grant=can_grant)
    if reply is not None:
        replies.unlink(state, reply, receiver)
    if is_call or thread.fault is not None:
        _await_reply(state, thread, receiver, reply, answerable=can_grant or can_grant_reply, can_donate=can_donate)
    elif can_donate and receiver.sched_context is None and thread.sched_context is not None:
        schedcontext.donate(state, thread.sched_context, receiver)
    scheduler.set_thread_state(state, receiver, RUNNING)
    refills.sporadic_unblock(state, receiver.sched_context)
    scheduler.possible_switch_to(state, receiver)


def _await_reply(
    state: State, caller: TCB, callee: TCB, reply: Reply | None, *, answerable: bool, can_donate: bool
) -> None:
    """A caller waits on the reply object; if it could never be answered it stops for ever."""
    if reply is not None and answerable:
        replies.push(state, caller, callee, reply, can_donate=can_donate)
    else:
        scheduler.set_thread_state(state, caller, INACTIVE)


def receive_ipc(state: State, thread: TCB, endpoint: Endpoint, reply: Reply | None, *, blocking: bool) -> None:
    """Take the bound notification's signals, or the first sender's message, or queue (receiveIPC)."""
    if reply is not None and reply.tcb is not None and reply.tcb is not thread:
        # A reply object holds one caller: using it again drops the one who waits on it.
        cancel_ipc(state, reply.tcb)
    notification = thread.bound_notification
    if notification is not None and notification.state == NTFN_ACTIVE:
        notifications.complete_signal(state, notification, thread)
        return
    if notification is not None and blocking:
        notifications.maybe_return_sched_context(state, notification, thread)
    if endpoint.state == EP_SEND:
        _receive_from_queue(state, thread, endpoint, reply)
    elif blocking:
        scheduler.set_thread_state(state, thread, BlockedOnReceive(endpoint, reply))
        if reply is not None:
            reply.tcb = thread
        endpoint.enqueue(thread, EP_RECEIVE)
    else:
        thread.registers[BADGE_REGISTER] = 0


def _receive_from_queue(state: State, thread: TCB, endpoint: Endpoint, reply: Reply | None) -> None:
    sender = endpoint.queue.head
    if sender is None or not isinstance(sender.state, BlockedOnSend):
        raise KernelBug("a sending endpoint without sender")
    blocked = sender.state
    endpoint.dequeue(sender)
    do_ipc_transfer(state, sender, endpoint, blocked.badge, thread, can_grant=blocked.can_grant)
    refills.sporadic_unblock(state, sender.sched_context)
    if blocked.is_call or sender.fault is not None:
        answerable = blocked.can_grant or blocked.can_grant_reply
        can_donate = not isinstance(sender.fault, Timeout)
        _await_reply(state, sender, thread, reply, answerable=answerable, can_donate=can_donate)
    else:
        if state.config.fix_send_to_passive and thread.sched_context is None and sender.sched_context is not None:
            schedcontext.donate(state, sender.sched_context, thread)
        scheduler.set_thread_state(state, sender, RUNNING)
        scheduler.possible_switch_to(state, sender)


def _restart_queued(state: State, endpoint: Endpoint, thread: TCB) -> None:
    """A queued thread makes its system call again; one that delivers a fault stops instead."""
    blocked = thread.state
    endpoint.dequeue(thread)
    if isinstance(blocked, BlockedOnReceive) and blocked.reply is not None:
        replies.unlink(state, blocked.reply, thread)
    if thread.fault is not None:
        scheduler.set_thread_state(state, thread, INACTIVE)
        return
    scheduler.set_thread_state(state, thread, RESTART)
    refills.sporadic_unblock(state, thread.sched_context)
    scheduler.possible_switch_to(state, thread)


def cancel_all_ipc(state: State, endpoint: Endpoint, pause: Pause | None = None) -> None:
    """The endpoint goes away: all its threads make their system call again (cancelAllIPC).

    ``pause`` is called after each; what it raises leaves the rest for the next time.
    """
    if endpoint.state == EP_IDLE:
        return
    while endpoint.queue.head is not None:
        _restart_queued(state, endpoint, endpoint.queue.head)
        if pause is not None:
            scheduler.reschedule_required(state)
            pause(state)
    scheduler.reschedule_required(state)


def cancel_badged_sends(state: State, endpoint: Endpoint, badge: int, pause: Pause | None = None) -> None:
    """Senders queued with this badge make their system call again (cancelBadgedSends); ``pause`` as above."""
    if endpoint.state != EP_SEND:
        return
    thread = endpoint.queue.head
    while thread is not None:
        following = thread.queue_next
        if isinstance(thread.state, BlockedOnSend) and thread.state.badge == badge:
            _restart_queued(state, endpoint, thread)
            if pause is not None:
                scheduler.reschedule_required(state)
                pause(state)
        thread = following
    scheduler.reschedule_required(state)
