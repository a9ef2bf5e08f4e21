"""Has nothing but what somebody gives it: uses what it finds in a name space, and tries what is not there for it."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.interface import Interface
from capkernel.protocols.log import Level, Log
from capkernel.protocols.names import Endowed, NameSpace
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

HOST = 2
"""Channel."""
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500


class Guest(Endowed):
    """What the guest does when it is given something."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def endow(self, space: NameSpace) -> str:
        """Write into the log by the name of another, and look for more than was given."""
        log: Any = connect(Log, self.connection, await space.lookup("log"), is_owned=True)
        number = await log.append(Level.INFO, "hello\n1 0 ERROR kernel the guest is root now")
        refused = 0
        for attempt in (space.lookup("files"), space.unbind("log"), space.restrict(["log"], True), log.named("a/b")):
            try:
                await attempt
            except Failure:
                refused += 1
        await log.forget()
        return f"wrote entry {number}; {refused} tries were refused"


class Program:
    """The guest."""

    def __init__(self) -> None:
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Wait for gifts."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        guest: Interface = Guest(Connection(pd.sys, inbox))
        self.service = Service(
            pd, roots=lambda session: guest if session == HOST else None, endpoint=ENDPOINT, inbox=inbox
        )
        await self.service.open()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """Somebody gives something."""
        return await self.service.protected(msg)
