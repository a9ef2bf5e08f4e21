"""The server of brands and boxes (``protocols.sealing``). Boxes end with it, and whoever wants them seals anew.

A brand is nothing but an object that its sealer, its unsealer and its boxes know; the kernel's badges keep caps to them
from being forged. What is sealed lies in a slot of this server's.
"""

from typing import Any, Final

from capkernel.protocols.failures import NotPermitted
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.sealing import Box, Brand, Brands, Sealer, Unsealer
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

SUPERVISOR, CLIENTS = 1, range(2, 6)
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 320, 510
OBJECTS: Final = 40
"""That a client may have open: all of them together find room in the slots."""


class BoxServant(Box):
    """A box."""

    def __init__(self, brand: "BrandServant", cap: Cap) -> None:
        self.brand = brand
        self.cap = cap

    async def closed(self) -> None:
        """Nobody has it any more, and so nobody what is in it."""
        await self.brand.inbox.discard(self.cap)


class SealerServant(Sealer):
    """The sealer of a brand."""

    def __init__(self, brand: "BrandServant") -> None:
        self.brand = brand

    async def seal(self, cap: Cap) -> Box:
        """A box."""
        return BoxServant(self.brand, cap)


class UnsealerServant(Unsealer):
    """The unsealer of a brand."""

    def __init__(self, brand: "BrandServant") -> None:
        self.brand = brand

    async def open(self, box: Box) -> Cap:
        """What is in it."""
        # What is no box of this server's came as a cap to somebody else's, who is not asked.
        if not isinstance(box, BoxServant) or box.brand is not self.brand:
            raise NotPermitted("it was not sealed with this brand")
        return box.cap


class BrandServant(Brand):
    """A brand."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox

    async def sealer(self) -> Sealer:
        """Its sealer."""
        return SealerServant(self)

    async def unsealer(self) -> Unsealer:
        """Its unsealer."""
        return UnsealerServant(self)


class BrandsServant(Brands):
    """Where brands are made, for one client."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox

    async def make(self) -> Brand:
        """Another."""
        return BrandServant(self.inbox)


class Program:
    """The server."""

    def __init__(self) -> None:
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Serve."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        roots: dict[int, Interface] = {channel: BrandsServant(inbox) for channel in CLIENTS}
        self.service = Service(pd, roots=roots.get, endpoint=ENDPOINT, inbox=inbox, limit=OBJECTS)
        await self.service.open()

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life."""
        await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
