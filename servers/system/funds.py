"""Having something of a server that may die: it is found again in the next life, memory and accounts by numbers."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
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

    async def forget(self) -> None:
        """Give up the cap without a word to the server."""
        stub, self._stub = self._stub, None
        if isinstance(stub, Stub):
            await stub.forget()


class Fund(Refound):
    """An account. Numbers of what is in it are given out here, from ``next_number`` on; none is used twice.

    What is to be found by another program after a crash is numbered first, written down, and then made.
    """

    def __init__(self, find: Callable[[], Awaitable[Account]], number: int = 0, next_number: int = 1) -> None:
        super().__init__(find)
        self.number = number
        self.next_number = next_number

    def new_number(self) -> int:
        """A number for something new."""
        self.next_number += 1
        return self.next_number - 1

    def account(self, number: int, next_number: int = 1) -> "Fund":
        """The account below of a number; nobody is asked."""
        return Fund(lambda: self.ask(lambda account: account.account(number)), number, next_number)

    def memory(self, number: int, pages: int, used: int = 0) -> "Pages":
        """The memory of a number; nobody is asked."""
        return Pages(lambda: self.ask(lambda account: account.memory(number)), number, pages, used)

    async def open(self, fund: "Fund", quota: int) -> Account:
        """Make an account below, or get it again, and return the cap to it. Raises QuotaExceeded."""
        return await self.ask(lambda account: account.split(fund.number, quota))

    async def split(self, quota: int) -> "Fund":
        """An account below. Raises QuotaExceeded."""
        fund = self.account(self.new_number())
        fund.hold(await self.open(fund, quota))
        return fund

    async def fill(self, memory: "Pages", use: Use) -> None:
        """Make memory. Raises QuotaExceeded."""
        size = memory.count * obj.PAGE_BYTES
        memory.hold(await self.ask(lambda account: account.allocate(memory.number, size, use)))

    async def allocate(self, pages: int, use: Use) -> "Pages":
        """Memory. Raises QuotaExceeded."""
        memory = self.memory(self.new_number(), pages)
        await self.fill(memory, use)
        return memory

    async def release(self, memory: "Pages") -> None:
        """Give memory back, if it is there."""
        with suppress(NotFound):
            await self.ask(lambda account: account.release(memory.number))
        await memory.forget()

    async def close(self) -> None:
        """Give everything back, and the quota to the account above, if that was not done before."""
        with suppress(NotFound):
            await self.ask(lambda account: account.close())
        await self.forget()


class Pages(Refound):
    """Memory; ``used`` counts the pages that were asked for."""

    def __init__(self, find: Callable[[], Awaitable[Memory]], number: int, count: int, used: int = 0) -> None:
        super().__init__(find)
        self.number = number
        self.count = count
        self.used = used

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
