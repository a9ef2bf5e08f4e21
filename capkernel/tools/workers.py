"""Processes that work side by side, and end at once when ^C, or anything else, ends what they work for.

Each has a pipe of its own, so none can leave the others' broken when it is killed in the middle of a word. Each is a
process group of its own, so that processes which it has started end with it.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from queue import SimpleQueue
from traceback import format_exc
from typing import Any, Final, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_SPAWN: Final = get_context("spawn")
"""Fresh processes: forked ones would inherit whatever threads draw a progress bar."""


class WorkerDied(Exception):
    """A process ended before it had said what came of its work."""


class Workers:
    """What carries out calls in other processes."""

    def __init__(self, threads: ThreadPoolExecutor, idle: "SimpleQueue[_Worker]") -> None:
        self._threads = threads
        self._idle = idle

    def submit(self, work: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Have ``work(*arguments)`` called, as soon as a process has nothing else to do."""
        return self._threads.submit(self._call, work, *arguments)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """What ``work`` gives for each, in their order."""
        return self._threads.map(lambda item: self._call(work, item), items)

    def _call(self, work: Callable[..., Result], *arguments: Any) -> Result:
        worker = self._idle.get()
        try:
            return worker.call(work, *arguments)
        finally:
            self._idle.put(worker)


@contextmanager
def working(count: int) -> Iterator[Workers]:
    """So many processes. They leave it to this one to hear ^C, from their first moment on, and end with it."""
    workers: list[_Worker] = []
    idle: SimpleQueue[_Worker] = SimpleQueue()
    # It makes the process hear ^C again when it is started, so that is done before.
    resource_tracker.ensure_running()
    threads = ThreadPoolExecutor(count, initializer=signal.pthread_sigmask, initargs=(signal.SIG_BLOCK, _INTERRUPT))
    try:
        with _deaf():
            for _ in range(count):
                workers.append(_Worker())
                idle.put(workers[-1])
        yield Workers(threads, idle)
    finally:
        with _deaf():
            for worker in workers:
                worker.end()
            threads.shutdown(cancel_futures=True)


class _Worker:
    """A process that does one thing after the other; it has the signal mask of whoever starts it."""

    def __init__(self) -> None:
        self._here, there = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(there,), daemon=True)
        self._process.start()
        there.close()

    def call(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """What the call gives there. Raises what it raises, and WorkerDied."""
        try:
            self._here.send((work, arguments))
            result, error = self._here.recv()
        except (EOFError, ConnectionError) as gone:
            raise WorkerDied("a worker process ended in the middle of its work") from gone
        if error is not None:
            raise error
        found: Result = result
        return found

    def end(self) -> None:
        """End it, whatever it does, and all that it has started."""
        if self._process.pid is not None:
            # If it has not come so far, there is no such group.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()


def _serve(connection: "Connection[Any, Any]") -> None:
    os.setpgid(0, 0)
    while True:
        try:
            work, arguments = connection.recv()
        except EOFError:
            return
        said: tuple[Any, Exception | None]
        try:
            said = work(*arguments), None
        except Exception as error:
            error.add_note(format_exc())
            said = None, error
        connection.send(said)


_INTERRUPT: Final = frozenset((signal.SIGINT,))


@contextmanager
def _deaf() -> Iterator[None]:
    """^C waits meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
