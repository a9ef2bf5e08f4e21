"""Scheduling contexts and the threads they run: binding, donation, YieldTo (manual, section 6.1)."""

from capkernel.abi import message as msg
from capkernel.abi.registers import BADGE_REGISTER, MSG_INFO_REGISTER, MSG_REGISTERS
from capkernel.kernel import refills, scheduler
from capkernel.kernel.objects import TCB, KernelBug, Notification, Reply, SchedContext
from capkernel.kernel.state import SWITCH_TO, State


def resume(state: State, sc: SchedContext | None) -> None:
    """If the context's thread wants to run but has no budget now, let it wait for it (schedContext_resume)."""
    if sc is None or sc.tcb is None or not scheduler.is_schedulable(sc.tcb):
        return
    if not (refills.is_ready(state, sc) and refills.is_sufficient(state, sc)):
        scheduler.postpone(state, sc)


def bind_tcb(state: State, sc: SchedContext, thread: TCB) -> None:
    """Give a thread without context this one (schedContext_bindTCB)."""
    thread.sched_context = sc
    sc.tcb = thread
    refills.sporadic_unblock(state, sc)
    resume(state, sc)
    if scheduler.is_schedulable(thread):
        scheduler.enqueue(state, thread)
        scheduler.reschedule_required(state)


def unbind_tcb(state: State, sc: SchedContext) -> None:
    """Take the context from the thread that runs on it, if there is one (schedContext_unbindTCB)."""
    thread = sc.tcb
    if thread is None:
        return
    if thread is state.current:
        scheduler.reschedule_required(state)
    scheduler.leave_queues(state, thread)
    thread.sched_context = None
    sc.tcb = None


def donate(state: State, sc: SchedContext, to: TCB) -> None:
    """Move the context to a thread that has none (schedContext_donate)."""
    if to.sched_context is not None:
        raise KernelBug("donation to a thread that has a scheduling context")
    giver = sc.tcb
    if giver is not None:
        scheduler.leave_queues(state, giver)
        giver.sched_context = None
        if giver is state.current or (state.action == SWITCH_TO and giver is state.candidate):
            scheduler.reschedule_required(state)
    sc.tcb = to
    to.sched_context = sc


def bind_notification(sc: SchedContext, notification: Notification) -> None:
    """Let whoever is woken by the notification run on this context."""
    notification.sched_context = sc
    sc.notification = notification


def unbind_notification(sc: SchedContext) -> None:
    """Undo ``bind_notification``."""
    if sc.notification is not None:
        sc.notification.sched_context = None
        sc.notification = None


def unbind_reply(sc: SchedContext) -> None:
    """Cut the stack of replies off the context: answers will not bring it back any more."""
    head: Reply | None = sc.reply
    if head is not None:
        head.next = None
        sc.reply = None


def unbind_all(state: State, sc: SchedContext) -> None:
    """Take the context from its thread, its notification and its calls (SchedContext_Unbind)."""
    unbind_tcb(state, sc)
    unbind_notification(sc)
    unbind_reply(sc)


def take_consumed(state: State, sc: SchedContext) -> int:
    """Microseconds used since the last time somebody asked (schedContext_updateConsumed)."""
    consumed, sc.consumed = sc.consumed, 0
    return consumed // state.config.ticks_per_us


def cancel_yield_to(thread: TCB) -> None:
    """Forget that the thread yielded to a context."""
    if thread.yield_to is not None:
        thread.yield_to.yield_from = None
        thread.yield_to = None


def complete_yield_to(state: State, yielder: TCB | None) -> None:
    """The yielder runs again: its answer is what the other one consumed (schedContext_completeYieldTo)."""
    if yielder is None or yielder.yield_to is None:
        return
    registers = yielder.registers
    registers[BADGE_REGISTER] = 0
    registers[MSG_REGISTERS[0]] = take_consumed(state, yielder.yield_to)
    registers[MSG_INFO_REGISTER] = msg.message_info(0, 1)
    cancel_yield_to(yielder)
