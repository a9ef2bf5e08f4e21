"""What real seL4 does, and so do we: rows that are demonstrated by a generated program and mended by a kernel option.

Each is a predicate on a step that is false of the real kernel, so it is not among the invariants. With the row's option
on it holds.
"""

from dataclasses import replace

from capkernel.abi import syscalls as sc
from capkernel.kernel import caps as kc
from capkernel.kernel import objects as ko
from specs.bugs.catalogue import ROWS
from specs.bugs.hunt import PROGRAM_STEPS, STRIDE, Found, hunt
from specs.bugs.model import Faithful
from specs.check import wander
from specs.generate import LAYOUTS, RandomChooser
from specs.invariants.step import Step
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import name_of
from specs.monitor import Monitor
from specs.programs import Execution, Program, run, world_of
from specs.programs.layout import World

_PLAIN = (sc.SEND, sc.NBSEND)


def receivers_can_run(step: Step) -> str | None:
    """S58: a thread that is handed a message by a plain Send can run afterwards, or could not before."""
    if not isinstance(step.invoked, kc.EndpointCap) or step.request.number not in _PLAIN:
        return None
    for thread in step.after.threads:
        waited = isinstance(step.before.of(thread, "state"), ko.BlockedOnReceive)
        if waited and thread.state is ko.RUNNING and thread.sched_context is None:
            return f"{name_of(thread)} has its message, and no time to run on"
    return None


def queues_are_emptied_in_pieces(step: Step) -> str | None:
    """S60: between two looks at the clock no more threads are taken out of queues than units of work are allowed."""
    queued = ko.BlockedOnSend | ko.BlockedOnReceive | ko.BlockedOnNotification
    moved = [
        thread for thread in step.after.threads
        if isinstance(step.before.of(thread, "state"), queued) and not isinstance(thread.state, ko.Blocked)
    ]  # fmt: skip
    allowed = step.state.config.work_units_per_preemption * max(1, len(step.recorder.times))
    return f"{len(moved)} threads were taken out of queues at once" if len(moved) > allowed else None


KNOWN = {
    "S58": StepInvariant("S58", "receivers_can_run", "who is handed a message can run", receivers_can_run),
    "S60": StepInvariant("S60", "queues_are_emptied_in_pieces", "queues are emptied in pieces",
                         queues_are_emptied_in_pieces),
}  # fmt: skip
"""By row: what ought to hold."""


class Watching:
    """Looks for one row's defect, besides all invariants, with the row's option off or on."""

    def __init__(self, row: str) -> None:
        self.row = row
        self.also = (KNOWN[row],)

    def monitor(self, world: World) -> Monitor:
        """Sees all invariants and the row's own."""
        return Monitor(policy=world.policy, also=self.also)

    def taken(self, seed: int, number: int, *, mended: bool) -> Execution:
        """Make up a program of a seed, with the row's option off or on; each unit of work is a preemption point."""
        row = ROWS[self.row]
        option = (row.mended_by,) if mended and issubclass(row, Faithful) else ()
        layouts = [replace(layout, fixes=option, work_units_per_preemption=1) for layout in LAYOUTS]
        return wander(RandomChooser(seed * STRIDE + number), PROGRAM_STEPS, self.monitor, layouts)

    def again(self, program: Program) -> Execution:
        """Run a program under the same watch."""
        return run(program, watcher=self.monitor(world_of(program.layout)), final=False)

    def shown(self, seed: int, most_steps: int) -> Found | None:
        """The first program of a seed that shows the defect."""
        found = hunt(seed, most_steps, make=lambda s, n: self.taken(s, n, mended=False))
        return found if found is not None and self.row in found.violated else None

    def mended(self, seed: int, most_steps: int) -> Found | None:
        """What is violated with the option on; None if nothing is."""
        return hunt(seed, most_steps, make=lambda s, n: self.taken(s, n, mended=True))
