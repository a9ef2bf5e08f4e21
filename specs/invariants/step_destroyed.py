"""What is left of a thread that a step has destroyed: T17.

Catches: S2, S3, S38: a queue, a reply, a context or a notification that still knows a thread which is gone; time that
was lent to it and went with it.
"""

from collections.abc import Iterator
from typing import Any

from capkernel.kernel.objects import TCB, Reply
from specs.invariants.model import first
from specs.invariants.step import Step
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import name_of


def destruction_is_complete(step: Step) -> str | None:
    """T17: nothing that lives refers to a destroyed thread, and time that was lent to it is back with its lender.

    A kernel entry in between is a step like any other: that G1–G29 hold at each preemption is what they say.
    """
    caps = step.after.caps_to
    gone = [item for item in step.before.objects if isinstance(item, TCB) and item.paddr and id(item) not in caps]
    return first([problem for thread in gone for problem in _left(step, thread)])


def _left(step: Step, thread: TCB) -> Iterator[str]:
    for item, fields in step.now.objects.items():
        for name, value in fields.items() if item is not thread else ():
            if value is thread or (isinstance(value, tuple) and any(member is thread for member in value)):
                yield f"{name_of(item)}.{name} still leads to {name_of(thread)}, which is destroyed"
    context = step.before.of(thread, "sched_context")
    caller = _lender(step, context)
    if caller is not None and context in step.now.objects and caller in step.now.objects and context.tcb is None:
        yield f"{name_of(context)}, lent by {name_of(caller)}, did not come back from {name_of(thread)}"


def _lender(step: Step, context: Any) -> TCB | None:
    """Who waits for the reply that a context came with."""
    reply = None if context is None else step.before.of(context, "reply")
    lender = step.before.of(reply, "tcb") if isinstance(reply, Reply) else None
    return lender if isinstance(lender, TCB) else None


CHECKS = (
    StepInvariant("T17", "destruction_is_complete", "nothing is left of a destroyed thread, and lent time is back",
                  destruction_is_complete),
)  # fmt: skip
