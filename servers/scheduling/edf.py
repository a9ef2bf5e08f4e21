"""Earliest deadline first, with a budget for each job (Liu and Layland, JACM 1973; Abeni and Buttazzo, RTSS 1998).

A task releases a job each period; its deadline is the next release, its budget what it said that it needs. The job with
the earliest deadline comes first. All deadlines are met as long as the tasks' budgets divided by their periods add up
to at most 1, less what scheduling itself takes; a set that exceeds ``BOUND`` is refused.

*At overload* nothing is promised to whoever caused it, and everything to the others: a job that needs more than its
budget gets another budget, and with it a deadline that is a period later (a constant-bandwidth server).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define

from servers.scheduling.policy import MIN_LEASE_US, Policy, Turn

BOUND: Final = 95
"""Per cent of the processor that may be promised; the rest is for the scheduler, its clock, and rounding."""


@define
class Task:
    """A task: budget and period in microseconds; when its job was released, until when it is due, what is left."""

    number: int
    budget_us: int
    period_us: int
    deadline: int = 0
    left: int = 0
    is_waiting: bool = True
    next_release: int = 0


class EarliestDeadline(Policy):
    """The policy. Raises ValueError if more is asked for than can be promised."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            if not MIN_LEASE_US <= task.budget_us <= task.period_us:
                raise ValueError(f"task {task.number}: its budget is {MIN_LEASE_US} µs to its period")
        load = sum(100 * task.budget_us / task.period_us for task in tasks)
        if load > BOUND:
            raise ValueError(f"the tasks need {load:.0f} % of the processor, and {BOUND} % can be promised")
        self.tasks = {task.number: task for task in tasks}

    def ran(self, used: Mapping[int, int], now: int) -> None:
        """Charge jobs; one that has used up its budget is due a period later."""
        for number, amount in used.items():
            task = self.tasks[number]
            task.left -= amount
            while not task.is_waiting and task.left < MIN_LEASE_US:
                task.left += task.budget_us
                task.deadline += task.period_us

    def finished(self, number: int, now: int) -> None:
        """A task's job is done; it waits for its next release."""
        self.tasks[number].is_waiting = True

    def release(self, now: int) -> list[int]:
        """Which tasks have a new job now."""
        released = [task for task in self.tasks.values() if task.is_waiting and task.next_release <= now]
        for task in released:
            # A release that was missed because the job before took too long is not made good for.
            start = max(task.next_release, now - (now - task.next_release) % task.period_us)
            task.is_waiting, task.left = False, task.budget_us
            # Who has borrowed from later periods is due no earlier for that.
            task.deadline = max(start + task.period_us, task.deadline)
            task.next_release = start + task.period_us
        return [task.number for task in released]

    def order(self, now: int) -> Sequence[Turn]:
        """Who is due first comes first; who waits comes last."""
        ranked = sorted(self.tasks.values(), key=lambda task: (task.is_waiting, task.deadline, task.number))
        return [Turn(task.number, max(task.left, MIN_LEASE_US)) for task in ranked]
