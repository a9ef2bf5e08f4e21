"""What programs that ask a broker have in common: their caps, their patience, their report."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from capkernel.protocols.brokering import Broker, GrantInfo
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.clocks import Timer
from capkernel.protocols.failures import Gone, ServerDied
from capkernel.protocols.files import Directory
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD

BROKER, TIMER = 0, 1
"""Channels."""
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 330, 500
TICKS_PER_US: Final = 10
TRIES: Final = 20
T = TypeVar("T")


class Subject:
    """Who asks. ``report`` is the address of its report, a row of words."""

    def __init__(self, pd: PD, report: int) -> None:
        self.pd = pd
        self.report = report
        self.connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        self.broker: Any = connect(Broker, self.connection, BASE_ENDPOINT_CAP + BROKER)
        self.grants: dict[int, Any] = {}
        self.timer: Any = connect(Timer, self.connection, BASE_ENDPOINT_CAP + TIMER)

    async def ask(self, request: Callable[[], Awaitable[T]]) -> T:
        """Ask, and ask again if the server died meanwhile. Raises failures."""
        for _ in range(TRIES):
            try:
                return await request()
            except ServerDied:
                continue
        return await request()

    async def obtain(self, service: str, rights: int, purpose: str, duration_us: int) -> GrantInfo:
        """Ask for a service, once more if the broker dies meanwhile. Raises failures."""
        while True:
            grant: Any = await self.ask(lambda: self.broker.request(service, rights, purpose, duration_us))
            try:
                info: GrantInfo = await grant.info()
            except (Gone, ServerDied):
                await grant.forget()
                continue
            self.grants[info.number] = grant
            return info

    async def through(self, number: int, use: Callable[[Any], Awaitable[T]]) -> T:
        """Do something with a grant; find it again if the broker died meanwhile. Raises NotFound when it is over."""
        while True:
            if number not in self.grants:
                self.grants[number] = await self.ask(lambda: self.broker.take(number))
            try:
                return await use(self.grants[number])
            except (Gone, ServerDied):
                await self.grants.pop(number).forget()

    async def directory(self, number: int) -> Any:
        """The directory of a grant. Raises NotFound when it is over."""
        cap = await self.through(number, lambda grant: grant.access())
        return connect(Directory, self.connection, cap, is_owned=True)

    async def now_us(self) -> int:
        """Microseconds since the machine was started."""
        return await self.pd.clock() // TICKS_PER_US

    async def tell(self, *words: int) -> None:
        """Write the report."""
        for place, word in enumerate(words):
            await self.pd.store(self.report + 8 * place, word)
