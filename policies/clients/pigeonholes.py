"""Pigeonholes: what is put in on an even channel is taken out on the next one."""

from typing import Any, Final

from capkernel.protocols.failures import NotFound, QuotaExceeded
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.pigeonholes import Pigeonhole, Slot
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

HOLES: Final = range(2, 12, 2)
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 320, 500
ROOM: Final = 16
"""Caps in one hole."""


class SlotServant(Slot):
    """To put in."""

    def __init__(self, caps: list[Cap]) -> None:
        self.caps = caps

    async def put(self, cap: Cap) -> None:
        """Behind the others."""
        if len(self.caps) == ROOM:
            raise QuotaExceeded(f"there are {ROOM} caps already")
        self.caps.append(cap)


class HoleServant(Pigeonhole):
    """To take out. The copy here stays until the next one is taken: it goes with the answer."""

    def __init__(self, caps: list[Cap], inbox: Inbox) -> None:
        self.caps = caps
        self.inbox = inbox
        self.taken: Cap | None = None

    async def take(self) -> Cap:
        """The first."""
        if not self.caps:
            raise NotFound("there is nothing here")
        if self.taken is not None:
            await self.inbox.discard(self.taken)
        self.taken = self.caps.pop(0)
        return self.taken


class Program:
    """The server."""

    def __init__(self) -> None:
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Serve."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        roots: dict[int, Interface] = {}
        for channel in HOLES:
            caps: list[Cap] = []
            roots |= {channel: SlotServant(caps), channel + 1: HoleServant(caps, inbox)}
        self.service = Service(pd, roots=roots.get, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """Somebody puts in, or takes out."""
        return await self.service.protected(msg)
