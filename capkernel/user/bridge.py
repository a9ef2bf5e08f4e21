"""Blocking calls from ordinary functions: a greenlet carries the function while its thread waits in the kernel.

Inside ``run_blocking`` a function may call ``wait(awaitable)`` however deep in its calls, also below a library that
knows nothing of coroutines. Such a function's state lives in a host stack and cannot be copied.

Nor can it be freed while it waits: a library in C may stand in the middle of it. Whoever gives up ``run_blocking`` lets
the function run to its end first, with an exception wherever it waits. Only the host's thread that began it can do so;
if another one collects what is no longer used, that is put off until the first comes by here again. Nor is it done in
the middle of a collection, which has lists on the very stack that would be switched, but right behind it.
"""

import gc
from collections.abc import Callable
from types import coroutine
from typing import Any, Final

from capkernel.user.operations import Steps, give_up, steps_of

try:
    from greenlet import GreenletExit, getcurrent, greenlet
except ImportError:
    AVAILABLE = False
    _ENDS: tuple[type[BaseException], ...] = (GeneratorExit,)
else:
    AVAILABLE = True
    _ENDS = (GeneratorExit, GreenletExit)

_STUBBORN: Final = 100
"""Times that a function is told to end."""
_unfinished: "list[greenlet]" = []
"""Functions that wait and are given up, and could not be ended there."""
_left: "list[greenlet]" = []
"""Those that go on whatever comes."""


class BridgeError(Exception):
    """A blocking call where none can be made."""


@coroutine
def run_blocking(function: Callable[..., Any], *args: Any) -> Steps:
    """Await this to run a plain function that makes blocking calls; returns what it returns.

    Raises BridgeError if greenlet is not installed.
    """
    if not AVAILABLE:
        raise BridgeError("blocking calls from plain functions need greenlet: pip install 'capkernel[sync]'")
    if _unfinished:
        _end_unfinished()
    carrier = greenlet(function)
    step: Callable[..., Any] = carrier.switch
    while True:
        # Whoever steps us now, and nobody else, gets what the function waits for.
        carrier.parent = getcurrent()
        found = step(*args)
        if carrier.dead:
            if isinstance(found, GreenletExit):
                raise BridgeError("the function raised GreenletExit") from found
            return found
        try:
            step, args = carrier.switch, ((yield found),)
        except GeneratorExit:
            _unfinished.append(carrier)
            if not _collections.is_under_way:
                _end_unfinished()
            raise
        except BaseException as error:
            step, args = carrier.throw, (error,)


def _end_unfinished() -> None:
    """End what can be ended here."""
    given_up, _unfinished[:] = _unfinished[:], []
    for carrier in given_up:
        try:
            carrier.parent = getcurrent()
        except ValueError:
            # It is another thread's.
            _unfinished.append(carrier)
        else:
            _end(carrier)


def _end(carrier: "greenlet") -> None:
    """Let a function that waits run to its end; what it says to that is lost."""
    for _ in range(_STUBBORN):
        if carrier.dead:
            return
        try:
            carrier.throw(GeneratorExit())
        except KeyboardInterrupt:
            raise
        except BaseException:
            continue
    _left.append(carrier)


class _Collections:
    """Whether the host is just collecting what is no longer used."""

    def __init__(self) -> None:
        self.is_under_way = False

    def __call__(self, phase: str, _: dict[str, int]) -> None:
        """It begins, or is over."""
        self.is_under_way = phase == "start"
        if not self.is_under_way and _unfinished:
            _end_unfinished()


_collections = _Collections()
if AVAILABLE:
    gc.callbacks.append(_collections)


def _stepper() -> "greenlet":
    """Whoever steps this function just now."""
    parent = getcurrent().parent if AVAILABLE else None
    if parent is None:
        raise BridgeError("a plain function can only wait inside run_blocking(), as a plain hook is run with greenlet")
    return parent


def wait(awaitable: Any) -> Any:
    """Wait for an awaitable from a plain function. Raises BridgeError outside of ``run_blocking``."""
    _stepper()
    steps = steps_of(awaitable)
    try:
        operation = next(steps)
        while True:
            try:
                result = _stepper().switch(operation)
            except _ENDS:
                give_up(steps)
                raise
            except BaseException as error:
                operation = steps.throw(error)
            else:
                operation = steps.send(result)
    except StopIteration as done:
        return done.value


class Blocking:
    """An object whose awaitable methods block instead; to be used inside ``run_blocking``."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found

        def blocking(*args: Any, **kwargs: Any) -> Any:
            result = found(*args, **kwargs)
            if not hasattr(result, "__await__"):
                return result
            if not AVAILABLE:
                result.close()
                raise BridgeError(
                    f"{name}() blocks, and in a plain hook that needs greenlet (pip install 'capkernel[sync]'); "
                    "without it make the hook an 'async def', or use only the deferred forms"
                )
            return wait(result)

        return blocking
