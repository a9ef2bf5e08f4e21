"""Asking again when a server has died: it is started anew, with what it knew."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from capkernel.protocols.failures import AlreadyExists, ServerDied

T = TypeVar("T")


async def insist(ask: Callable[..., Awaitable[T]], *arguments: Any) -> T | None:
    """Ask again as often as the server dies over it. None if an earlier time has had its effect already."""
    is_again = False
    while True:
        try:
            return await ask(*arguments)
        except ServerDied:
            is_again = True
        except AlreadyExists:
            if not is_again:
                raise
            return None
