"""What threads do, and what is done to them: suspend, restart, priorities, domains, the answer to a call."""

from capkernel.abi.registers import FAULT_IP, NEXT_IP
from capkernel.kernel import refills, schedcontext, scheduler
from capkernel.kernel import reply as replies
from capkernel.kernel.cancel import cancel_ipc
from capkernel.kernel.fault_delivery import handle_timeout, has_timeout_handler
from capkernel.kernel.objects import (
    INACTIVE,
    READY_QUEUE,
    RESTART,
    RUNNING,
    TCB,
    Blocked,
    BlockedOnNotification,
    BlockedOnReceive,
    BlockedOnReply,
    BlockedOnSend,
    Reply,
    Timeout,
)
from capkernel.kernel.state import State
from capkernel.kernel.transfer import do_ipc_transfer, handle_fault_reply


def suspend(state: State, thread: TCB) -> None:
    """Stop a thread; what it waited for is cancelled (suspend)."""
    cancel_ipc(state, thread)
    if thread.state is RUNNING:
        thread.registers[FAULT_IP] = thread.registers[NEXT_IP]
    scheduler.leave_queues(state, thread)
    schedcontext.cancel_yield_to(thread)
    scheduler.set_thread_state(state, thread, INACTIVE)


def restart(state: State, thread: TCB) -> None:
    """Let a stopped thread go on at its restart pc; a blocked one makes its system call again (restart)."""
    if not (thread.state is INACTIVE or isinstance(thread.state, Blocked)):
        return
    cancel_ipc(state, thread)
    scheduler.set_thread_state(state, thread, RESTART)
    refills.sporadic_unblock(state, thread.sched_context)
    schedcontext.resume(state, thread.sched_context)
    if scheduler.is_schedulable(thread):
        scheduler.possible_switch_to(state, thread)


def activate(state: State) -> None:
    """The chosen thread is about to run: finish what it waited for, set its pc (activateThread)."""
    thread = state.current
    if thread.yield_to is not None:
        schedcontext.complete_yield_to(state, thread)
    if thread.state is RESTART:
        thread.registers[NEXT_IP] = thread.registers[FAULT_IP]
        thread.state = RUNNING


def set_priority(state: State, thread: TCB, priority: int) -> None:
    """Change a priority; the thread finds its new place in whatever queue it stands (setPriority)."""
    blocked = thread.state
    if scheduler.is_runnable(thread) and (thread.queued == READY_QUEUE or thread is state.current):
        scheduler.dequeue(state, thread)
        thread.priority = priority
        scheduler.enqueue(state, thread)
        scheduler.reschedule_required(state)
        return
    thread.priority = priority
    if isinstance(blocked, (BlockedOnSend, BlockedOnReceive)):
        queue = blocked.endpoint.queue
    elif isinstance(blocked, BlockedOnNotification):
        queue = blocked.notification.queue
    else:
        return
    queue.remove(thread)
    queue.insert_by_priority(thread)


def set_domain(state: State, thread: TCB, domain: int) -> None:
    """Move a thread to another domain (setDomain)."""
    scheduler.dequeue(state, thread)
    thread.domain = domain
    if scheduler.is_schedulable(thread):
        scheduler.enqueue(state, thread)
    if thread is state.current:
        scheduler.reschedule_required(state)


def do_reply_transfer(state: State, sender: TCB, reply: Reply, *, can_grant: bool) -> None:
    """Answer the call, or the fault, that waits on a reply object; nothing if none does (doReplyTransfer)."""
    receiver = reply.tcb
    if receiver is None or not isinstance(receiver.state, BlockedOnReply):
        return
    replies.remove(state, reply, receiver)
    refills.sporadic_unblock(state, receiver.sched_context)
    fault = receiver.fault
    if fault is None:
        do_ipc_transfer(state, sender, None, 0, receiver, can_grant=can_grant)
        scheduler.set_thread_state(state, receiver, RUNNING)
    else:
        again = handle_fault_reply(state, fault, receiver, sender)
        receiver.fault = None
        scheduler.set_thread_state(state, receiver, RESTART if again else INACTIVE)
    sc = receiver.sched_context
    if sc is None or not scheduler.is_runnable(receiver):
        return
    turn_ended, sc.turn_ended = sc.turn_ended, sc.turn_ended and sc.reply is not None
    if refills.is_ready(state, sc) and refills.is_sufficient(state, sc):
        if turn_ended:
            scheduler.append(state, receiver)
            scheduler.reschedule_required(state)
        else:
            scheduler.possible_switch_to(state, receiver)
    elif has_timeout_handler(receiver) and not isinstance(fault, Timeout):
        handle_timeout(state, receiver, sc)
    else:
        scheduler.postpone(state, sc)
