"""The scheduler of deadlines: tasks call it when a job is done, and are answered when the next one is released.

    [[task]]
    number = 0            # as a child; its channel here is 10 + number, its reply object in slot 302 + number
    budget_us = 2000
    period_us = 10000

Time is a metronome's beats, so releases are as fine as those.
"""

from collections.abc import Mapping
from typing import Any

from capkernel.user.loop import ANSWERED, PD
from capkernel.user.syscalls import Message
from servers.scheduling.edf import EarliestDeadline, Task
from servers.scheduling.policy import Policy
from servers.scheduling.scheduler import SchedulerProgram

METRONOME, FIRST_TASK, FIRST_REPLY = 0, 10, 302
"""Channels, and slots of reply objects. A task is answered two words: until when its job is due, its budget."""


class Program(SchedulerProgram):
    """The program. ``Deadlines`` orders the jobs."""

    Deadlines: type[EarliestDeadline] = EarliestDeadline

    def __init__(self) -> None:
        super().__init__()
        self.deadlines: Any = None
        self.held: dict[int, int] = {}

    def policy(self, table: Mapping[str, Any]) -> tuple[list[int], Policy]:
        """As the table says."""
        tasks = [Task(**entry) for entry in table["task"]]
        self.deadlines = self.Deadlines(tasks)
        return [task.number for task in tasks], self.deadlines

    async def init(self, pd: PD) -> None:
        """Have a place for each task that waits."""
        await super().init(pd)
        pd.spare_replies.extend(range(FIRST_REPLY, FIRST_REPLY + len(self.deadlines.tasks)))

    async def notified(self, pd: PD, ch: int) -> None:
        """A beat: jobs may be released."""
        released = [number for number in self.deadlines.release(await self.scheduler.now()) if number in self.held]
        await self.scheduler.look(released)
        for number in released:
            task = self.deadlines.tasks[number]
            await pd.answer(self.held.pop(number), Message(0, (task.deadline, task.budget_us)))

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A task's job is done."""
        number = ch - FIRST_TASK
        await self.scheduler.look()
        self.deadlines.finished(number, await self.scheduler.now())
        self.held[number] = pd.hold_caller()
        await self.scheduler.look()
        return ANSWERED
