"""Reply objects: who waits for which answer, and where lent time goes back to (manual, section 4.2.4).

A scheduling context keeps the stack of the calls along which it was lent. Only the top of it brings the time back; a
call that is taken out of the middle cuts off those below it.
"""

from specs.abstract.objects import BlockedOnReply, Inactive, Ptr, Reply, SchedContext
from specs.abstract.schedcontext import sched_context_donate
from specs.abstract.scheduler import set_sched_context, set_thread_state
from specs.abstract.state import State, get_sched_context, get_tcb


def reply_sc(s: State, reply: Ptr) -> Ptr | None:
    """The scheduling context on whose stack a reply stands."""
    for ptr, item in s.kheap.items():
        if isinstance(item, SchedContext) and reply in item.replies:
            return ptr
    return None


def reply_unlink_tcb(s: State, thread: Ptr, reply: Ptr) -> None:
    """A thread and a reply object have nothing to do with each other any more."""
    s.kheap[reply] = Reply()
    set_thread_state(s, thread, Inactive)


def reply_push(s: State, caller: Ptr, callee: Ptr, reply: Ptr, can_donate: bool) -> None:
    """The caller waits for the answer, and the callee, if it has no time, gets the caller's."""
    lent = get_tcb(s, caller).sched_context
    s.kheap[reply] = Reply(caller)
    set_thread_state(s, caller, BlockedOnReply(reply))
    if lent is not None and get_tcb(s, callee).sched_context is None and can_donate:
        set_sched_context(s, lent, replies=(reply, *get_sched_context(s, lent).replies))
        sched_context_donate(s, lent, callee)


def reply_remove(s: State, thread: Ptr, reply: Ptr) -> None:
    """The wait is over: it was answered, or the reply object goes away. Time that was lent here comes back."""
    lent = reply_sc(s, reply)
    if lent is not None:
        stack = get_sched_context(s, lent).replies
        if stack[0] == reply:
            set_sched_context(s, lent, replies=stack[1:])
            if get_tcb(s, thread).sched_context is None:
                sched_context_donate(s, lent, thread)
        else:
            set_sched_context(s, lent, replies=stack[: stack.index(reply)])
    reply_unlink_tcb(s, thread, reply)


def reply_remove_tcb(s: State, thread: Ptr, reply: Ptr) -> None:
    """The caller gives up. What it lent stays lent."""
    lent = reply_sc(s, reply)
    if lent is not None:
        stack = get_sched_context(s, lent).replies
        set_sched_context(s, lent, replies=stack[: stack.index(reply)])
    reply_unlink_tcb(s, thread, reply)
