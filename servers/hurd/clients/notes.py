"""What a client of a demonstration saw, in lines that are read from outside: a name, and a value."""

from collections.abc import Awaitable
from typing import Any, Final

from capkernel.protocols.failures import Failure
from capkernel.user.loop import PD

HEADER: Final = 16
"""Bytes: how many lines there are; 1 when there will be no more."""


class Notes:
    """Lines in a ``region`` at an address."""

    def __init__(self, pd: PD, region: int) -> None:
        self.pd = pd
        self.region = region
        self.count = 0
        self.end = region + HEADER

    async def note(self, name: str, value: Any) -> None:
        """Write one down."""
        text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        line = f"{name}={text!r}\n".encode()
        await self.pd.write(self.end, line)
        self.end += len(line)
        self.count += 1
        await self.pd.store(self.region, self.count)

    async def tried(self, name: str, asked: Awaitable[Any]) -> Any:
        """Do something, and write down what came of it: the result, or the name of the failure; returns the result."""
        try:
            found = await asked
        except Failure as failure:
            await self.note(name, type(failure).__name__)
            return None
        await self.note(name, "done" if found is None or not isinstance(found, bytes | str | int | tuple) else found)
        return found

    async def over(self) -> None:
        """There will be no more."""
        await self.pd.store(self.region + 8, 1)
