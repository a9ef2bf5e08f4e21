"""What happens to threads: stopping, starting, priorities, domains, and the answer to a call."""

from capkernel.abi import registers as reg
from specs.abstract.faults import handle_timeout, is_timeout_handler_valid
from specs.abstract.ipc_cancel import cancel_ipc, leave_endpoint, leave_notification
from specs.abstract.notification import by_priority
from specs.abstract.objects import (
    BlockedOnNotification,
    BlockedOnReceive,
    BlockedOnReply,
    BlockedOnSend,
    Inactive,
    Ptr,
    Restart,
    Running,
    Timeout,
)
from specs.abstract.reply import reply_remove
from specs.abstract.schedcontext import complete_yield_to, sched_context_cancel_yield_to, sched_context_resume
from specs.abstract.scheduler import (
    if_sporadic_unblock_check,
    in_ready_queue,
    is_runnable,
    is_schedulable,
    leave_scheduler_queues,
    possible_switch_to,
    postpone,
    refill_ready,
    refill_sufficient,
    reschedule_required,
    set_thread_state,
    tcb_sched_dequeue,
    tcb_sched_enqueue,
)
from specs.abstract.state import (
    State,
    get_endpoint,
    get_notification,
    get_register,
    get_reply,
    get_tcb,
    set_registers,
    set_tcb,
)
from specs.abstract.transfer import do_ipc_transfer, handle_fault_reply

BLOCKED = (BlockedOnSend, BlockedOnReceive, BlockedOnNotification, BlockedOnReply)


def suspend(s: State, thread: Ptr) -> None:
    """Stop a thread. One that was running would go on behind its last instruction."""
    cancel_ipc(s, thread)
    if get_tcb(s, thread).state == Running:
        set_registers(s, thread, {reg.FAULT_IP: get_register(s, thread, reg.NEXT_IP)})
    leave_scheduler_queues(s, thread)
    sched_context_cancel_yield_to(s, thread)
    set_thread_state(s, thread, Inactive)


def restart(s: State, thread: Ptr) -> None:
    """Let a stopped thread go on; one that waits makes its system call again."""
    state = get_tcb(s, thread).state
    if state != Inactive and not isinstance(state, BLOCKED):
        return
    cancel_ipc(s, thread)
    set_thread_state(s, thread, Restart)
    sc = get_tcb(s, thread).sched_context
    if_sporadic_unblock_check(s, sc)
    sched_context_resume(s, sc)
    if is_schedulable(s, thread):
        possible_switch_to(s, thread)


def activate_thread(s: State) -> None:
    """The current thread goes back to user mode."""
    thread = s.cur_thread
    complete_yield_to(s, thread)
    if get_tcb(s, thread).state == Restart:
        set_registers(s, thread, {reg.NEXT_IP: get_register(s, thread, reg.FAULT_IP)})
        set_thread_state(s, thread, Running)


def set_priority(s: State, thread: Ptr, priority: int) -> None:
    """Change a priority; where a thread is queued, it gets the place that is its due."""
    state = get_tcb(s, thread).state
    is_up = is_runnable(s, thread) and (in_ready_queue(s, thread) or thread == s.cur_thread)
    if is_up:
        tcb_sched_dequeue(s, thread)
    set_tcb(s, thread, priority=priority)
    if is_up:
        tcb_sched_enqueue(s, thread)
        reschedule_required(s)
    elif isinstance(state, (BlockedOnSend, BlockedOnReceive)):
        leave_endpoint(s, state.endpoint, thread)
        ep = get_endpoint(s, state.endpoint)
        kind = "senders" if isinstance(state, BlockedOnSend) else "receivers"
        s.kheap[state.endpoint] = ep._replace(**{kind: by_priority(s, ep.senders + ep.receivers, thread)})
    elif isinstance(state, BlockedOnNotification):
        leave_notification(s, state.notification, thread)
        ntfn = get_notification(s, state.notification)
        s.kheap[state.notification] = ntfn._replace(waiting=by_priority(s, ntfn.waiting, thread))


def set_domain(s: State, thread: Ptr, domain: int) -> None:
    """Let a thread run in another domain's turn."""
    tcb_sched_dequeue(s, thread)
    set_tcb(s, thread, domain=domain)
    if is_schedulable(s, thread):
        tcb_sched_enqueue(s, thread)
    if thread == s.cur_thread:
        reschedule_required(s)


def do_reply_transfer(s: State, sender: Ptr, reply: Ptr, can_grant: bool) -> None:
    """Answer whoever waits on a reply object, after a call or a fault."""
    receiver = get_reply(s, reply).tcb
    if receiver is None or not isinstance(get_tcb(s, receiver).state, BlockedOnReply):
        return
    reply_remove(s, receiver, reply)
    if_sporadic_unblock_check(s, get_tcb(s, receiver).sched_context)
    fault = get_tcb(s, receiver).fault
    if fault is None:
        do_ipc_transfer(s, sender, None, 0, can_grant, receiver)
        set_thread_state(s, receiver, Running)
    else:
        goes_on = handle_fault_reply(s, fault, receiver, sender)
        set_tcb(s, receiver, fault=None)
        set_thread_state(s, receiver, Restart if goes_on else Inactive)
    sc = get_tcb(s, receiver).sched_context
    if sc is None or not is_runnable(s, receiver):
        return
    if refill_ready(s, sc) and refill_sufficient(s, sc, 0):
        possible_switch_to(s, receiver)
    elif is_timeout_handler_valid(s, receiver) and not isinstance(fault, Timeout):
        handle_timeout(s, receiver, sc)
    else:
        postpone(s, sc)
