"""Reply objects: outstanding calls, and the stack along which donated time travels back (manual, section 4.2.4).

On a call that donates, the reply goes on top of the stack that belongs to the donated scheduling context:
``sc.reply`` is the top, whose ``next`` is the context; below it, ``prev`` leads to the earlier callers.
"""

from capkernel.kernel import schedcontext
from capkernel.kernel.objects import INACTIVE, TCB, BlockedOnReply, KernelBug, Reply, SchedContext
from capkernel.kernel.scheduler import set_thread_state
from capkernel.kernel.state import State


def unlink(state: State, reply: Reply, thread: TCB) -> None:
    """The thread no longer waits for, or offers, this reply object (reply_unlink)."""
    reply.tcb = None
    set_thread_state(state, thread, INACTIVE)


def push(state: State, caller: TCB, callee: TCB, reply: Reply, *, can_donate: bool) -> None:
    """The caller now waits on the reply; its time goes to the callee if that has none (reply_push)."""
    sc = caller.sched_context
    reply.tcb = caller
    set_thread_state(state, caller, BlockedOnReply(reply))
    if sc is not None and callee.sched_context is None and can_donate:
        below = sc.reply
        if below is not None:
            below.next = reply
        reply.prev = below
        sc.reply = reply
        reply.next = sc
        schedcontext.donate(state, sc, callee)


def remove(state: State, reply: Reply, thread: TCB) -> None:
    """The call is answered or abandoned by its server; donated time returns from the top (reply_remove)."""
    if isinstance(reply.next, SchedContext):
        _pop(state, reply, reply.next, thread)
    else:
        _cut_out(reply)
        unlink(state, reply, thread)


def _pop(state: State, reply: Reply, sc: SchedContext, thread: TCB) -> None:
    below = reply.prev
    sc.reply = below
    if below is not None:
        below.next = sc
    reply.next = reply.prev = None
    if thread.sched_context is None:
        schedcontext.donate(state, sc, thread)
    unlink(state, reply, thread)


def remove_caller(state: State, thread: TCB, blocked: BlockedOnReply) -> None:
    """The caller gives up waiting; its time, if donated, stays where it is (reply_remove_tcb)."""
    reply = blocked.reply
    if reply.tcb is not thread:
        raise KernelBug("a thread waits on a reply that is not its own")
    if isinstance(reply.next, SchedContext):
        reply.next.reply = None
    _cut_out(reply)
    unlink(state, reply, thread)


def _cut_out(reply: Reply) -> None:
    """Leave the stack; what is above and below it is no longer connected."""
    above, below = reply.next, reply.prev
    if isinstance(above, Reply):
        above.prev = None
    if below is not None:
        below.next = None
    reply.next = reply.prev = None
