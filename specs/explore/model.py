"""What is explored: a small system, and what each of its threads may do at each of its turns."""

from dataclasses import dataclass

from specs.programs import SLOTS, Layout, Worker

UNIT_US = 10_000
"""Time passes in whole units of so many µs: every budget is one unit, every period some units."""

BUDGET_ENDS, TIME_PASSES, INTERRUPT, PREEMPT = "BudgetEnds", "TimePasses", "Interrupt", "Preempt"
ENVIRONMENT = (BUDGET_ENDS, TIME_PASSES, INTERRUPT, PREEMPT)
"""What happens without a thread's doing: the running thread's budget ends, or (nobody runs) the next refill comes; the
device's line fires between two instructions, or at the first preemption point of a Delete or Revoke."""


@dataclass(frozen=True)
class Thread:
    """A thread: its priority, and the ``acts`` among which it chooses at each of its turns (see ``actions``).

    ``serves`` are endpoint and reply object of the receive in which it starts. A ``passive`` thread starts without its
    scheduling context, which is there, unbound. ``period`` is in units of time, of which the budget is one: 1 means
    round robin. ``fault`` and ``timeout`` name handler endpoints, ``bound`` a notification.
    """

    acts: tuple[str, ...]
    priority: int = 100
    serves: tuple[str, str] | None = None
    passive: bool = False
    period: int = 1
    fault: str = ""
    timeout: str = ""
    bound: str = ""


@dataclass(frozen=True)
class Configuration:
    """A named small system. ``environment`` lists what may happen to it, ``lends`` which contexts notifications hold.

    ``live`` says that somebody can always go on: a state in which nothing can happen any more is then a violation.
    """

    name: str
    says: str
    threads: tuple[Thread, ...]
    environment: tuple[str, ...] = ()
    lends: tuple[tuple[str, str], ...] = ()
    live: bool = False

    @property
    def layout(self) -> Layout:
        """The same as a layout of ``specs.programs``, whose root thread is to be stopped at the start."""
        return Layout(
            workers=tuple(_worker(thread) for thread in self.threads),
            lends=tuple((SLOTS[sched_context], SLOTS[notification]) for sched_context, notification in self.lends),
            work_units_per_preemption=1, syscall_ticks=0, work_unit_ticks=0,
        )  # fmt: skip


def _worker(thread: Thread) -> Worker:
    def slot(name: str) -> int:
        return SLOTS[name] if name else 0

    return Worker(
        priority=thread.priority, budget=UNIT_US, period=thread.period * UNIT_US, passive=thread.passive,
        serves=(SLOTS[thread.serves[0]], SLOTS[thread.serves[1]]) if thread.serves else (0, 0),
        fault=slot(thread.fault), timeout=slot(thread.timeout), notification=slot(thread.bound),
    )  # fmt: skip
