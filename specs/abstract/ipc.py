"""Endpoints: where sender and receiver meet (manual, chapter 4)."""

from capkernel.abi import registers as reg
from specs.abstract.ipc_cancel import cancel_ipc, leave_endpoint
from specs.abstract.notification import by_priority, complete_signal, maybe_return_sc
from specs.abstract.objects import BlockedOnReceive, BlockedOnSend, Endpoint, Inactive, Ptr, Restart, Running, Timeout
from specs.abstract.reply import reply_push, reply_unlink_tcb
from specs.abstract.schedcontext import sched_context_donate
from specs.abstract.scheduler import (
    if_sporadic_unblock_check,
    possible_switch_to,
    reschedule_required,
    set_thread_state,
)
from specs.abstract.state import (
    State,
    get_endpoint,
    get_notification,
    get_reply,
    get_tcb,
    set_registers,
)
from specs.abstract.transfer import do_ipc_transfer


def send_ipc(
    s: State, block: bool, call: bool, badge: int, can_grant: bool, can_grant_reply: bool, can_donate: bool,
    thread: Ptr, endpoint: Ptr,
) -> None:  # fmt: skip
    """Hand the message, or fault, of a thread to the first receiver; without one, wait if that is asked for."""
    ep = get_endpoint(s, endpoint)
    if not ep.receivers:
        if block:
            set_thread_state(s, thread, BlockedOnSend(endpoint, badge, can_grant, can_grant_reply, call))
            s.kheap[endpoint] = Endpoint(senders=by_priority(s, ep.senders, thread))
        return
    dest = ep.receivers[0]
    waiting = get_tcb(s, dest).state
    assert isinstance(waiting, BlockedOnReceive)
    leave_endpoint(s, endpoint, dest)
    do_ipc_transfer(s, thread, endpoint, badge, can_grant, dest)
    if waiting.reply is not None:
        reply_unlink_tcb(s, dest, waiting.reply)
    sender = get_tcb(s, thread)
    if call or sender.fault is not None:
        _await_reply(s, thread, dest, waiting.reply, can_grant or can_grant_reply, can_donate)
    elif can_donate and sender.sched_context is not None and get_tcb(s, dest).sched_context is None:
        sched_context_donate(s, sender.sched_context, dest)
    set_thread_state(s, dest, Running)
    if_sporadic_unblock_check(s, get_tcb(s, dest).sched_context)
    possible_switch_to(s, dest)


def _await_reply(s: State, caller: Ptr, callee: Ptr, reply: Ptr | None, answerable: bool, can_donate: bool) -> None:
    """Who asks waits for the answer; if there can be none, for ever."""
    if reply is None or not answerable:
        set_thread_state(s, caller, Inactive)
    else:
        reply_push(s, caller, callee, reply, can_donate)


def receive_ipc(s: State, thread: Ptr, endpoint: Ptr, is_blocking: bool, reply: Ptr | None) -> None:
    """Take a signal of the bound notification, else the first sender's message, else wait."""
    if reply is not None:
        holder = get_reply(s, reply).tcb
        if holder is not None and holder != thread:
            cancel_ipc(s, holder)
    ntfn = get_tcb(s, thread).bound_notification
    if ntfn is not None and get_notification(s, ntfn).badge is not None:
        complete_signal(s, ntfn, thread)
        return
    if ntfn is not None and is_blocking:
        maybe_return_sc(s, thread, ntfn)
    ep = get_endpoint(s, endpoint)
    if ep.senders:
        _receive_from(s, thread, endpoint, ep.senders[0], reply)
    elif is_blocking:
        set_thread_state(s, thread, BlockedOnReceive(endpoint, reply))
        if reply is not None:
            s.kheap[reply] = get_reply(s, reply)._replace(tcb=thread)
        s.kheap[endpoint] = Endpoint(receivers=by_priority(s, ep.receivers, thread))
    else:
        set_registers(s, thread, {reg.BADGE_REGISTER: 0})


def _receive_from(s: State, thread: Ptr, endpoint: Ptr, sender: Ptr, reply: Ptr | None) -> None:
    blocked = get_tcb(s, sender).state
    assert isinstance(blocked, BlockedOnSend)
    leave_endpoint(s, endpoint, sender)
    do_ipc_transfer(s, sender, endpoint, blocked.badge, blocked.can_grant, thread)
    tcb = get_tcb(s, sender)
    if_sporadic_unblock_check(s, tcb.sched_context)
    if blocked.is_call or tcb.fault is not None:
        answerable = blocked.can_grant or blocked.can_grant_reply
        _await_reply(s, sender, thread, reply, answerable, not isinstance(tcb.fault, Timeout))
    else:
        set_thread_state(s, sender, Running)
        possible_switch_to(s, sender)


def _restart_all(s: State, endpoint: Ptr, threads: list[Ptr]) -> None:
    """Queued threads make their system calls again; those that were about to tell of a fault stop."""
    for thread in threads:
        tcb = get_tcb(s, thread)
        leave_endpoint(s, endpoint, thread)
        if isinstance(tcb.state, BlockedOnReceive) and tcb.state.reply is not None:
            reply_unlink_tcb(s, thread, tcb.state.reply)
        if tcb.fault is not None:
            set_thread_state(s, thread, Inactive)
        else:
            set_thread_state(s, thread, Restart)
            if_sporadic_unblock_check(s, tcb.sched_context)
            possible_switch_to(s, thread)
    reschedule_required(s)


def cancel_all_ipc(s: State, endpoint: Ptr) -> None:
    """The endpoint goes away."""
    ep = get_endpoint(s, endpoint)
    if ep.senders or ep.receivers:
        _restart_all(s, endpoint, [*ep.senders, *ep.receivers])


def cancel_badged_sends(s: State, endpoint: Ptr, badge: int) -> None:
    """Who sends through caps of this badge starts again."""
    senders = get_endpoint(s, endpoint).senders
    if senders:
        _restart_all(s, endpoint, [thread for thread in senders if _send_badge(s, thread) == badge])


def _send_badge(s: State, thread: Ptr) -> int | None:
    state = get_tcb(s, thread).state
    return state.badge if isinstance(state, BlockedOnSend) else None
