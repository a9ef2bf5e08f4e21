"""What attackers have in common: to try something, and see whether it works."""

from collections.abc import Awaitable
from typing import Any

from capkernel.protocols.failures import Failure


async def works(attempt: Awaitable[Any], *refused: type[Exception]) -> bool:
    """Whether something can be done. ``refused`` are exceptions by which, as by failures, it cannot."""
    kinds: tuple[type[Exception], ...] = (Failure, *refused)
    try:
        await attempt
    except kinds:
        return False
    return True
