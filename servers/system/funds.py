"""Having something of a server that may die: it is found again in the next life, memory and accounts by numbers."""

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Final, TypeVar

from capkernel.abi import objects as obj
from capkernel.protocols.client import Stub
from capkernel.protocols.failures import Gone, NotFound, ServerDied
from capkernel.protocols.memory import Account, Memory, Use

T = TypeVar("T")
TRIES: Final = 10
"""How often a server may die while it is asked something."""


class Refound:
    """Something of a server's: ``find`` gets a cap to it, again if need be."""

    def __init__(self, find: Callable[[], Awaitable[Any]]) -> None:
        self._find = find
        self._stub: Any = None

    def hold(self, stub: Any) -> None:
        """Here is a cap to it."""
        self._stub = stub

    async def ask(self, question: Callable[[Any], Awaitable[T]]) -> T:
        """Ask, and if the server dies before it answers, or a former one gave out our cap, ask the next."""
        for left in reversed(range(TRIES)):
            try:
                if self._stub is None:
                    self._stub = await self._find()
                return await question(self._stub)
            except (ServerDied, Gone):
                await self.forget()
                if not left:
                    raise
        raise AssertionError("the last try returns, or raises")

    async def drop(self) -> None:
        """Give it up: the server takes it back."""
        try:
            await self.ask(lambda stub: stub.drop())
        except NotFound:
            pass
        finally:
            await self.forget()

    async def forget(self) -> None:
        """Give up the cap without a word to the server."""
        stub, self._stub = self._stub, None
        if isinstance(stub, Stub):
            await stub.forget()


class Fund(Refound):
    """An account. Its numbers are given out here; none is used twice."""

    def __init__(self, find: Callable[[], Awaitable[Account]]) -> None:
        super().__init__(find)
        self._numbers = count(1)

    async def split(self, quota: int) -> "Fund":
        """An account below. Raises QuotaExceeded."""
        number = next(self._numbers)
        fund = Fund(lambda: self.ask(lambda account: account.account(number)))
        fund.hold(await self.ask(lambda account: account.split(number, quota)))
        return fund

    async def allocate(self, pages: int, use: Use) -> "Pages":
        """Memory. Raises QuotaExceeded."""
        number = next(self._numbers)
        memory = Pages(lambda: self.ask(lambda account: account.memory(number)), pages)
        memory.hold(await self.ask(lambda account: account.allocate(number, pages * obj.PAGE_BYTES, use)))
        return memory


class Pages(Refound):
    """Memory; ``used`` counts the pages that were asked for."""

    def __init__(self, find: Callable[[], Awaitable[Memory]], count: int) -> None:
        super().__init__(find)
        self.count = count
        self.used = 0

    async def untyped(self, page: int) -> int:
        """A cap to raw memory."""
        return int(await self.ask(lambda memory: memory.untyped(page)))

    async def frame(self, page: int) -> int:
        """A cap to a frame."""
        return int(await self.ask(lambda memory: memory.frame(page)))


async def let_go(stub: Any) -> None:
    """Give up a cap, if it is still there, without a word to its server."""
    if isinstance(stub, Stub):
        await stub.forget()
