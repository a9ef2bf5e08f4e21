"""What attackers have in common: to try something, and see whether it works."""

from collections.abc import Awaitable, Callable
from typing import Any

from capkernel.protocols.failures import Failure


async def works(way: Callable[[], Awaitable[Any]]) -> bool:
    """Try; whether it was done."""
    try:
        await way()
    except Failure:
        return False
    return True
