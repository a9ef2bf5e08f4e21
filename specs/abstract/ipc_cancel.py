"""Ending a wait without a result (proofs: IpcCancel)."""

from specs.abstract.objects import (
    BlockedOnNotification,
    BlockedOnReceive,
    BlockedOnReply,
    BlockedOnSend,
    Endpoint,
    Inactive,
    Ptr,
)
from specs.abstract.reply import reply_remove_tcb, reply_unlink_tcb
from specs.abstract.scheduler import set_thread_state
from specs.abstract.state import State, get_endpoint, get_notification, get_tcb, set_tcb


def without(queue: tuple[Ptr, ...], thread: Ptr) -> tuple[Ptr, ...]:
    """A queue without one of its threads."""
    return tuple(other for other in queue if other != thread)


def leave_endpoint(s: State, endpoint: Ptr, thread: Ptr) -> None:
    """Take a thread out of an endpoint's queue."""
    ep = get_endpoint(s, endpoint)
    s.kheap[endpoint] = Endpoint(without(ep.senders, thread), without(ep.receivers, thread))


def leave_notification(s: State, ntfn: Ptr, thread: Ptr) -> None:
    """Take a thread out of a notification's queue."""
    item = get_notification(s, ntfn)
    s.kheap[ntfn] = item._replace(waiting=without(item.waiting, thread))


def cancel_ipc(s: State, thread: Ptr) -> None:
    """A thread stops to wait, whatever for, and its fault is forgotten; it is inactive, if it waited."""
    state = get_tcb(s, thread).state
    set_tcb(s, thread, fault=None)
    match state:
        case BlockedOnSend():
            leave_endpoint(s, state.endpoint, thread)
            set_thread_state(s, thread, Inactive)
        case BlockedOnReceive():
            leave_endpoint(s, state.endpoint, thread)
            if state.reply is not None:
                reply_unlink_tcb(s, thread, state.reply)
            set_thread_state(s, thread, Inactive)
        case BlockedOnNotification():
            leave_notification(s, state.notification, thread)
            set_thread_state(s, thread, Inactive)
        case BlockedOnReply():
            reply_remove_tcb(s, thread, state.reply)
        case _:
            pass
