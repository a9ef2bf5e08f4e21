"""What a step does with time: T11, and of L1 what one step can show.

Catches: time that is charged twice, to the wrong context or to nobody; a clock that is not read where it must be; a
YieldTo after which the wrong thread runs.
"""

from capkernel.abi import labels
from capkernel.kernel import caps as kc
from capkernel.kernel import objects as ko
from capkernel.kernel.objects import READY_QUEUE, SchedContext
from capkernel.kernel.state import PRIORITIES
from specs.invariants.parts import parts
from specs.invariants.step import Step
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import name_of


def time_is_charged_once(step: Step) -> str | None:
    """T11: charged time sums to elapsed time; each interval is charged once, to the context that was current.

    What has passed since the last charge, and in this kernel entry, is afterwards charged to that context or still to
    be charged. Nobody else is charged. Nothing can be said of who was asked how much it had consumed in between (that
    starts again from zero), nor of a context that was never configured or is destroyed.
    """
    kernel, state = step.before.kernel, step.state
    current = kernel["current_sc"]
    for context in step.touched(ko.SchedContext):
        before = step.before.of(context, "consumed")
        if before is None or context is current:
            continue
        if context.consumed > before:
            return f"{name_of(context)} was charged {context.consumed - before} ticks, but was not current"
    if current is state.idle_sc or not current.refill_max or current not in step.after.caps_to:
        return None
    due = kernel["consumed"] + state.time - kernel["time"]
    charged = current.consumed - step.before.of(current, "consumed")
    left = state.consumed if state.current_sc is current else 0
    if charged + left == due or _was_asked(step, current):
        return None
    return f"{due} ticks were due from {name_of(current)}; {charged} were charged and {left} are left to charge"


def _was_asked(step: Step, context: SchedContext) -> bool:
    """Whether somebody may have taken what the context had consumed."""
    asks = step.request.label in (labels.SCHED_CONTEXT_CONSUMED, labels.SCHED_CONTEXT_YIELD_TO)
    if asks and isinstance(step.invoked, kc.SchedContextCap):
        return True
    was_yielded_to = step.before.of(context, "yield_from") is not None and context.yield_from is None
    told = any(isinstance(step.before.of(t, "fault") or t.fault, ko.Timeout) for t in step.after.threads)
    return was_yielded_to or told


def the_clock_is_read_before_asking(step: Step) -> str | None:
    """T11b: whether an interrupt waits is only asked when the clock has just been read.

    So a long operation sees its budget and its domain's time end at the preemption point where they do.
    """
    fresh = False
    for look in step.recorder.looks:
        if look == "irq_pending" and not fresh:
            return "the kernel asked for interrupts at a preemption point without having read the clock"
        fresh = look == "now"
    return None


def highest_priority_runs(step: Step) -> str | None:
    """L1: the highest-priority ready thread of the current domain runs next.

    Corrected: DomainSet_Set does not make the kernel choose anew when it brings a thread into the domain that runs, nor
    does it choose anew when a thread that is woken outranks who runs. So what outranked who ran before the step may go
    on to be ready until it does.
    """
    state = step.state
    if isinstance(step.invoked, kc.DomainCap):
        return None
    running = -1 if state.current is state.idle else state.current.priority
    for index, queue in state.ready.items():
        domain, priority = divmod(index, PRIORITIES)
        head = queue.head
        if head is not None and domain == state.domain and priority > running and not _outranked(step, head):
            return f"{name_of(head)} is ready at priority {priority}, but {name_of(state.current)} runs"
    return None


def _outranked(step: Step, thread: ko.TCB) -> bool:
    """Whether a thread was ready before the step, in the domain that runs, and outranked who ran."""
    before = step.before
    ran, domain = before.kernel["current"], step.state.domain
    if ran is step.state.idle or before.of(thread, "queued") != READY_QUEUE:
        return False
    ran_here = before.of(thread, "domain") == before.kernel["domain"] == domain
    return ran_here and bool(before.of(thread, "priority") > before.of(ran, "priority"))


def yielded_to_runs(step: Step) -> str | None:
    """L1b: after YieldTo a thread that is ready, of at least the caller's priority, runs before its caller."""
    if step.request.label != labels.SCHED_CONTEXT_YIELD_TO or step.refused:
        return None
    caller, cap = step.caller, step.invoked
    if not isinstance(cap, kc.SchedContextCap):
        return None
    target = step.before.of(cap.sched_context, "tcb")
    if step.state.current is not caller or target is None or target is caller:
        return None
    ready = target.queued == READY_QUEUE and target.domain == step.state.domain
    if not ready or target.priority < caller.priority:
        return None
    return f"{name_of(caller)} yielded to {name_of(target)}, which is ready, and runs on itself"


CHECKS = (
    StepInvariant("L1", "highest_priority_runs", "the highest-priority ready thread of the domain runs next",
                  highest_priority_runs,
                  reads=parts("State.ready State.current State.domain TCB.priority TCB.queued")),
    StepInvariant("T11", "time_is_charged_once", "each interval is charged once, to the right context",
                  time_is_charged_once),
    StepInvariant("T11b", "the_clock_is_read_before_asking", "preemption points read the clock",
                  the_clock_is_read_before_asking, reads=parts("polls")),
    StepInvariant("L1b", "yielded_to_runs", "a thread that was yielded to runs before who yielded", yielded_to_runs),
)  # fmt: skip
