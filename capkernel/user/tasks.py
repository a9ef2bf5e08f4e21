"""Several requests in one thread: what a server does for each is a task, and a task may wait for another's news.

A handler is a coroutine. Its system calls go to the CPU as always; when it awaits a ``Condition`` it is put aside, and
the server goes on with the next message. No two tasks run at once, and one gives way only where it waits.
"""

from collections.abc import Awaitable, Callable, Generator
from types import coroutine
from typing import Any

from capkernel.user.operations import Steps, give_up, steps_of

Done = Callable[[Any, BaseException | None], Awaitable[None]]
"""Awaited when a task has ended: with its result, or with the exception that it raised."""


class Condition:
    """Something that tasks wait for. Whoever makes it true says so; a task looks again when it goes on."""

    def __init__(self) -> None:
        self.waiting: list[Task] = []

    def notify(self, count: int | None = None) -> None:
        """Let the first ``count`` tasks that wait go on, or all."""
        woken = self.waiting[:count]
        del self.waiting[:count]
        for task in woken:
            task.waits_for = None
            task.tasks.ready.append(task)

    @coroutine
    def wait(self) -> Generator[Any, Any, None]:
        """Await this to wait until somebody says so; only in a task."""
        yield self


class Task:
    """Something that a thread has begun. ``waits_for`` is what it waits for, if it does."""

    __slots__ = ("done", "steps", "tasks", "waits_for")

    def __init__(self, tasks: "Tasks", steps: Steps, done: Done) -> None:
        self.tasks = tasks
        self.steps = steps
        self.done = done
        self.waits_for: Condition | None = None

    def __del__(self) -> None:
        """Its program was killed while it waited; what it would still do cannot be done any more."""
        give_up(self.steps)


class Tasks:
    """The tasks of one thread. ``ready`` are those that may go on; ``run_ready`` lets them."""

    def __init__(self) -> None:
        self.ready: list[Task] = []
        self._begun: dict[Task, None] = {}
        """Those that are not over."""

    async def start(self, work: Awaitable[Any], done: Done) -> Task | None:
        """Run a task until it ends, after ``done``; or until it waits: then it is returned, and goes on later."""
        task = Task(self, steps_of(work), done)
        self._begun[task] = None
        await self._go_on(task)
        return task if task.waits_for is not None else None

    async def run_ready(self) -> None:
        """Let tasks go on until all wait."""
        while self.ready:
            await self._go_on(self.ready.pop(0))

    def abandon(self, task: Task) -> None:
        """Give up a task that waits."""
        if task.waits_for is not None:
            task.waits_for.waiting.remove(task)
            task.waits_for = None
        self._begun.pop(task, None)
        give_up(task.steps)

    def give_up(self) -> None:
        """Their thread is over: none of them goes on any more."""
        self.ready.clear()
        for task in list(self._begun):
            self.abandon(task)

    async def _go_on(self, task: Task) -> None:
        try:
            result = await _step(task)
        except Exception as error:
            self._begun.pop(task, None)
            await task.done(None, error)
            return
        if task.waits_for is None:
            self._begun.pop(task, None)
            await task.done(result, None)


@coroutine
def alone(work: Awaitable[Any], next_news: Callable[[], Awaitable[None]]) -> Generator[Any, Any, Any]:
    """Await this to do something in a program that does nothing else: when it would have to wait for a condition,
    ``next_news`` is awaited until that condition was notified. Returns what the work returns, raises what it raises.
    """
    tasks, outcome = Tasks(), []

    async def done(result: Any, error: BaseException | None) -> None:
        outcome.append((result, error))

    yield from steps_of(tasks.start(work, done))
    while not outcome:
        yield from steps_of(next_news())
        yield from steps_of(tasks.run_ready())
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


@coroutine
def _step(task: Task) -> Generator[Any, Any, Any]:
    """Run a task's own steps on the CPU until it waits, or ends with a result."""
    advance: Callable[..., Any] = task.steps.send
    argument: Any = None
    while True:
        try:
            found = advance(argument)
        except StopIteration as end:
            return end.value
        if isinstance(found, Condition):
            task.waits_for = found
            found.waiting.append(task)
            return None
        try:
            advance, argument = task.steps.send, (yield found)
        except Exception as error:
            advance, argument = task.steps.throw, error
