"""What real seL4 does, and so do we: rows that are demonstrated by a generated program, and mended by a kernel option.

Each is a predicate on steps that is false of the real kernel, so it is not among the invariants. With the row's option
on it holds.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from capkernel.abi import syscalls as sc
from capkernel.kernel import caps as kc
from capkernel.kernel import objects as ko
from capkernel.kernel.objects import READY_QUEUE, SchedContext
from specs import check
from specs.bugs.catalogue import ROWS
from specs.bugs.hunt import PROGRAM_STEPS, STRIDE, Found, Shrunk, hunt, shrunk
from specs.bugs.model import Faithful
from specs.check import wander
from specs.generate import LAYOUTS, RandomChooser
from specs.invariants.step import Step
from specs.invariants.step_model import StepInvariant
from specs.invariants.view import name_of
from specs.monitor import Monitor
from specs.programs import SLOTS, Execution, Layout, Program, Worker, run, world_of
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
    """S60: between two looks at the clock no more threads that wait start over than units of work are allowed."""
    queued = ko.BlockedOnSend | ko.BlockedOnReceive | ko.BlockedOnNotification
    moved = [
        thread for thread in step.after.threads
        if isinstance(step.before.of(thread, "state"), queued) and thread.state is ko.RESTART
    ]  # fmt: skip
    allowed = step.state.config.work_units_per_preemption * max(1, len(step.recorder.times))
    return f"{len(moved)} threads start over at once" if len(moved) > allowed else None


class TurnsEndWhenTimeDoes:
    """S59: whose time ended while it was lent goes behind its equals, before it runs on.

    Called with the steps of one run, in order: ``_ended`` are the contexts that were lent when the refill in use ended.
    """

    def __init__(self) -> None:
        self._ended: set[SchedContext] = set()

    def __call__(self, step: Step) -> str | None:
        """What is wrong after this step, if anything."""
        used = step.before.kernel["current_sc"]
        if step.before.of(used, "reply") is not None and _is_used_up(step, used):
            self._ended.add(used)
        back = [context for context in self._ended if context.reply is None]
        self._ended.difference_update(back)
        state = step.state
        thread = state.current
        if thread.sched_context not in back:
            return None
        equals = [
            other for other in step.after.threads
            if other.queued == step.before.of(other, "queued") == READY_QUEUE
            and (other.domain, other.priority) == (thread.domain, thread.priority)
        ]  # fmt: skip
        return f"{name_of(thread)} goes on in front of {name_of(equals[0])}, its time begun anew" if equals else None


def _is_used_up(step: Step, context: SchedContext) -> bool:
    """Whether so little is left of a context's first refill, after what has passed by now, that its turn is over."""
    refills = step.before.of(context, "refills")
    spent = step.before.kernel["consumed"] + step.state.time - step.before.kernel["time"]
    return bool(refills) and refills[0][1] - spent < step.state.min_budget


EQUALS = Layout(workers=(
    Worker(priority=110, budget=100, period=100), Worker(priority=110, budget=100, period=100),
    Worker(priority=120, passive=True, serves=(SLOTS["ep0"], SLOTS["reply0"])), Worker(priority=50),
))  # fmt: skip
"""Threads of one priority that take turns, and a server above them that runs on their time."""
CROWDED = Layout(workers=(
    Worker(priority=120), *(Worker(priority=110, serves=(SLOTS["ntfn1"], 0)) for _ in range(3)),
))  # fmt: skip
"""Threads that wait for the same signal, and one that can take it away."""


@dataclass(frozen=True)
class Known:
    """What ought to hold, made anew for each run as it may remember; and the worlds in which programs begin."""

    invariant: Callable[[], StepInvariant]
    layouts: tuple[Layout, ...] = LAYOUTS


KNOWN = {
    "S58": Known(lambda: StepInvariant(
        "S58", "receivers_can_run", "who is handed a message can run", receivers_can_run,
    )),
    "S59": Known(lambda: StepInvariant(
        "S59", "turns_end_when_time_does", "whose lent time ended goes behind its equals", TurnsEndWhenTimeDoes(),
    ), (EQUALS,)),
    "S60": Known(lambda: StepInvariant(
        "S60", "queues_are_emptied_in_pieces", "queues are emptied in pieces", queues_are_emptied_in_pieces,
    ), (CROWDED,)),
}  # fmt: skip
"""By row."""


def report(program: Program, row: str) -> int:
    """Run a program under a row's watch and print what came of it; 1 if something is wrong."""
    return check.report(program, Watching(row).again)


class Watching:
    """Looks for one row's defect, besides all invariants, with the row's option off or on."""

    def __init__(self, row: str) -> None:
        found = ROWS[row]
        self.row = row
        self.option = found.mended_by if issubclass(found, Faithful) else ""

    def monitor(self, world: World) -> Monitor:
        """Sees all invariants and the row's own."""
        return Monitor(policy=world.policy, also=(KNOWN[self.row].invariant(),))

    def taken(self, seed: int, number: int, *, mended: bool) -> Execution:
        """Make up a program of a seed, with the row's option off or on; each unit of work is a preemption point."""
        fixes = (self.option,) if mended else ()
        layouts = [replace(layout, fixes=fixes, work_units_per_preemption=1) for layout in KNOWN[self.row].layouts]
        return wander(RandomChooser(seed * STRIDE + number), PROGRAM_STEPS, self.monitor, layouts)

    def again(self, program: Program) -> Execution:
        """Run a program under the same watch."""
        return run(program, watcher=self.monitor(world_of(program.layout)), final=False)

    def shrunk(self, program: Program) -> Shrunk:
        """A program that shows the defect, cut to what matters; its script is under the same watch."""
        small = shrunk(program, self.again)
        script = small.script.replace("specs.check", "specs.bugs.known", 1)
        return replace(small, script=script.replace("report(program)", f'report(program, "{self.row}")', 1))

    def shown(self, seed: int, most_steps: int) -> Found | None:
        """The first program of a seed that shows the defect."""
        found = hunt(seed, most_steps, make=lambda s, n: self.taken(s, n, mended=False))
        return found if found is not None and self.row in found.violated else None

    def mended(self, seed: int, most_steps: int) -> Found | None:
        """What is violated with the row's option on; None if nothing is."""
        return hunt(seed, most_steps, make=lambda s, n: self.taken(s, n, mended=True))
