"""Taking a thread out of whatever it waits for."""

from capkernel.kernel import reply as replies
from capkernel.kernel.objects import (
    INACTIVE,
    TCB,
    BlockedOnNotification,
    BlockedOnReceive,
    BlockedOnReply,
    BlockedOnSend,
)
from capkernel.kernel.scheduler import set_thread_state
from capkernel.kernel.state import State


def cancel_ipc(state: State, thread: TCB) -> None:
    """End a wait without a result: the thread is inactive afterwards, a pending fault is forgotten (cancelIPC)."""
    blocked = thread.state
    thread.fault = None
    match blocked:
        case BlockedOnSend():
            blocked.endpoint.dequeue(thread)
            set_thread_state(state, thread, INACTIVE)
        case BlockedOnReceive():
            blocked.endpoint.dequeue(thread)
            if blocked.reply is not None:
                replies.unlink(state, blocked.reply, thread)
            set_thread_state(state, thread, INACTIVE)
        case BlockedOnNotification():
            blocked.notification.dequeue(thread)
            set_thread_state(state, thread, INACTIVE)
        case BlockedOnReply():
            replies.remove_caller(state, thread, blocked)
        case _:
            pass
