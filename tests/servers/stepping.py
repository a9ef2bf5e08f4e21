"""Programs without a system: their steps are run one by one, and a test answers each of their operations."""

from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any, TypeVar

from capkernel.user.operations import steps_of

T = TypeVar("T")


def run_steps(awaitable: Awaitable[T], answer: Callable[..., Any]) -> T:
    """Run something to its end. ``answer`` is called with each operation; what it raises ends the program at once."""
    result: Any = None
    with closing(steps_of(awaitable)) as steps:
        while True:
            try:
                operation = steps.send(result)
            except StopIteration as end:
                return end.value
            result = answer(*operation)
