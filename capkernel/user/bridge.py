"""Blocking calls from ordinary functions: a greenlet carries the function while its thread waits in the kernel.

Inside ``run_blocking`` a function may call ``wait(awaitable)`` however deep in its calls, also below a library that
knows nothing of coroutines. Such a function's state lives in a host stack and cannot be copied.
"""

from collections.abc import Callable
from types import coroutine
from typing import Any

from capkernel.user.operations import Steps, steps_of

try:
    from greenlet import GreenletExit, getcurrent, greenlet
except ImportError:
    AVAILABLE = False
else:
    AVAILABLE = True


class BridgeError(Exception):
    """A blocking call where none can be made."""


@coroutine
def run_blocking(function: Callable[..., Any], *args: Any) -> Steps:
    """Await this to run a plain function that makes blocking calls; returns what it returns.

    Raises BridgeError if greenlet is not installed.
    """
    if not AVAILABLE:
        raise BridgeError("blocking calls from plain functions need greenlet: pip install 'capkernel[sync]'")
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
        except BaseException as error:
            step, args = carrier.throw, (error,)


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
