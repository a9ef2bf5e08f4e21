"""Gives out numbers, and can be replaced while clients wait: it writes down its state when it is asked to."""

from typing import Any

from capkernel.protocols.service import Service
from capkernel.protocols.tickets import Tickets
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.system.retiring import retire

state: int = 0

SUPERVISOR, UPDATE = 1, 20
GIVEN = 0
"""Offset of the number that was given out last, in the memory that outlives this program."""


class TicketsServant(Tickets):
    """The numbers."""

    def __init__(self, given: int, program: int) -> None:
        self.given = given
        self.program = program

    async def take(self) -> int:
        """The next one."""
        self.given += 1
        return self.given

    async def version(self) -> int:
        """Which program this is."""
        return self.program


class Program:
    """The server. A later version is a subclass with another number."""

    number = 1

    @property
    def state(self) -> int:
        """Where the state is kept: each version has variables of its own."""
        return state

    def __init__(self) -> None:
        self.tickets: Any = None
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Go on from what the program before has written down."""
        tickets = self.tickets = TicketsServant(await pd.load(self.state + GIVEN), self.number)
        self.service = Service(pd, roots=lambda session: tickets)
        # Before it serves anybody: from here on there is no way back to the program before.
        await pd.notify(SUPERVISOR)

    async def notified(self, pd: PD, ch: int) -> None:
        """A sign of life is wanted, or the state."""
        if ch == UPDATE:
            await pd.store(self.state + GIVEN, self.tickets.given)
            await retire(pd, UPDATE)
        await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
