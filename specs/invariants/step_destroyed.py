"""What is left of a thread that a step has destroyed: T17.

Catches: S2, S3, S38: a queue, a reply, a context or a notification that still knows a thread which is gone.
"""

from collections.abc import Iterator

from capkernel.kernel.objects import TCB
from specs.invariants.model import first
from specs.invariants.parts import CAPS, REFERENCES
from specs.invariants.step import Step
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import name_of


def destruction_is_complete(step: Step) -> str | None:
    """T17: nothing that lives refers to a destroyed thread.

    Corrected: time that was lent to it is free, not back with its lender: that waits on the reply object, and has its
    time back when that is destroyed, too (``reply_remove``). A kernel entry in between is a step like any other: that
    G1–G29 hold at each preemption is what they say.
    """
    caps = step.after.caps_to
    gone = [item for item in step.before.objects if isinstance(item, TCB) and item.paddr and item not in caps]
    return first(sorted(problem for thread in gone for problem in _left(step, thread)))


def _left(step: Step, thread: TCB) -> Iterator[str]:
    for item, fields in step.now.objects.items():
        for name, value in fields.items() if item is not thread else ():
            if value is thread or (isinstance(value, tuple) and any(member is thread for member in value)):
                yield f"{name_of(item)}.{name} still leads to {name_of(thread)}, which is destroyed"


CHECKS = (
    StepInvariant("T17", "destruction_is_complete", "nothing that lives refers to a destroyed thread",
                  destruction_is_complete, reads=CAPS | REFERENCES),
)  # fmt: skip
