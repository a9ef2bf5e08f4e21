"""Rate-monotonic priorities for the same tasks, for comparison: the shorter the period, the higher."""

from collections.abc import Sequence

from servers.scheduling import edf_scheduler
from servers.scheduling.edf import EarliestDeadline
from servers.scheduling.policy import MIN_LEASE_US, Turn


class RateMonotonic(EarliestDeadline):
    """Fixed priorities, whatever is due when."""

    def order(self, now: int) -> Sequence[Turn]:
        """Who has the shorter period comes first."""
        ranked = sorted(self.tasks.values(), key=lambda task: (task.period_us, task.number))
        return [Turn(task.number, max(task.left, MIN_LEASE_US)) for task in ranked]


class Program(edf_scheduler.Program):
    """The program."""

    Deadlines = RateMonotonic
