"""The server of brands and boxes (``protocols.sealing``).

A brand is nothing but an object that its sealer, its unsealer and its boxes know; the kernel's badges keep caps to them
from being forged. What is sealed lies in a slot that outlives this server, as does the record of who has which cap: it
is written down before any answer goes out, so the next life knows every box, sealer and unsealer that anybody has.
"""

from enum import IntEnum
from typing import Any, Final

from attrs import frozen

from capkernel.protocols.failures import NotPermitted
from capkernel.protocols.given import GivenCap, given_caps, restore_given
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.lasting import NOWHERE, Lockers, Slots
from capkernel.protocols.sealing import Box, Brand, Brands, Sealer, Unsealer
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.kept import KeptValue
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message

record: int = 0
record_size: int = 0x8000
"""Memory that lasts."""

SUPERVISOR, CLIENTS = 1, range(2, 6)
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 320, 510
KEPT_SLOTS: Final = Slots(cnode=302, address=1 << 58, count=256)
"""The granted CNode for what is sealed: in slot 302, at 1."""
OBJECTS: Final = 40
"""That a client may have open: all of them together find room in the slots, and in the record."""


class What(IntEnum):
    """What an object is."""

    BRANDS, BRAND, SEALER, UNSEALER, BOX = range(5)


@frozen
class KeptObject:
    """An object: of which brand, and, of a box, in which slot its content lies."""

    what: What
    brand: int
    slot: int


@frozen
class Kept:
    """All of them, with the caps to them; ``brands`` is how many brands there ever were."""

    brands: int
    objects: list[KeptObject]
    caps: list[GivenCap]


class BoxServant(Box):
    """A box. When nobody has it any more its slot is in no record, and is emptied."""

    def __init__(self, shop: "BrandsServant", brand: int, slot: int) -> None:
        self.shop = shop
        self.brand = brand
        self.slot = slot

    @property
    def kept(self) -> KeptObject:
        """As it is written down."""
        return KeptObject(What.BOX, self.brand, self.slot)


class SealerServant(Sealer):
    """The sealer of a brand."""

    def __init__(self, shop: "BrandsServant", brand: int) -> None:
        self.shop = shop
        self.brand = brand
        self.kept = KeptObject(What.SEALER, brand, NOWHERE)

    async def seal(self, cap: Cap) -> Box:
        """A box."""
        return BoxServant(self.shop, self.brand, await self.shop.lockers.put(cap))


class UnsealerServant(Unsealer):
    """The unsealer of a brand."""

    def __init__(self, shop: "BrandsServant", brand: int) -> None:
        self.shop = shop
        self.brand = brand
        self.kept = KeptObject(What.UNSEALER, brand, NOWHERE)

    async def open(self, box: Box) -> Cap:
        """What is in it."""
        # What is no box of this server's came as a cap to somebody else's, who is not asked.
        if not isinstance(box, BoxServant) or box.brand != self.brand:
            raise NotPermitted("it was not sealed with this brand")
        return self.shop.lockers.address(box.slot)


class BrandServant(Brand):
    """A brand."""

    def __init__(self, shop: "BrandsServant", brand: int) -> None:
        self.shop = shop
        self.brand = brand
        self.kept = KeptObject(What.BRAND, brand, NOWHERE)

    async def sealer(self) -> Sealer:
        """Its sealer."""
        return SealerServant(self.shop, self.brand)

    async def unsealer(self) -> Unsealer:
        """Its unsealer."""
        return UnsealerServant(self.shop, self.brand)


class BrandsServant(Brands):
    """Where brands are made."""

    kept = KeptObject(What.BRANDS, 0, NOWHERE)

    def __init__(self, lockers: Lockers) -> None:
        self.lockers = lockers
        self.brands = 0

    async def make(self) -> Brand:
        """Another."""
        self.brands += 1
        return BrandServant(self, self.brands)

    def again(self, kept: KeptObject) -> Interface:
        """An object that was written down."""
        if kept.what is What.BOX:
            return BoxServant(self, kept.brand, kept.slot)
        makers: dict[What, Any] = {
            What.BRAND: BrandServant, What.SEALER: SealerServant, What.UNSEALER: UnsealerServant,
        }  # fmt: skip
        made: Interface = makers[kept.what](self, kept.brand) if kept.what in makers else self
        return made


class Shop:
    """The server's objects, and their record in memory that lasts."""

    def __init__(self, pd: PD, lockers: Lockers, region: SharedRegion) -> None:
        self.lockers = lockers
        self.brands = BrandsServant(self.lockers)
        roots: dict[int, Interface] = dict.fromkeys(CLIENTS, self.brands)
        self.service = Service(
            pd, roots=roots.get, endpoint=ENDPOINT, inbox=lockers.inbox, limit=OBJECTS, settle=self.settle
        )
        self._record = KeptValue(Kept, region)
        self._last: Kept | None = None

    async def open(self) -> None:
        """Go on where a former life was."""
        found = self._last = await self._record.load()
        if found is not None:
            self.brands.brands = found.brands
            restore_given(self.service, [self.brands.again(each) for each in found.objects], found.caps)
        await self.lockers.open(_slots(found))
        await self.service.open()

    async def settle(self) -> None:
        """Write down what has changed; then let go what is in boxes that nobody has any more."""
        given, caps = given_caps(self.service)
        servants: list[Any] = list(given)
        now = Kept(self.brands.brands, [servant.kept for servant in servants], caps)
        if now != self._last:
            await self._record.save(now)
            self._last = now
        await self.lockers.settle(_slots(now))


def _slots(kept: Kept | None) -> list[int]:
    """Where something is sealed."""
    return [each.slot for each in kept.objects if each.what is What.BOX] if kept is not None else []


class Program:
    """The server."""

    def __init__(self) -> None:
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """Serve."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        shop = Shop(pd, Lockers(inbox, KEPT_SLOTS), SharedRegion(record, record_size))
        await shop.open()
        self.service = shop.service

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life."""
        await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.service.protected(msg)
