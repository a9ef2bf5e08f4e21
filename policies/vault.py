"""The caps of grants: in slots that outlive the broker, so that whoever comes after it can still take them back.

For each grant the broker makes two caps at the service, the one below the other:

    the broker's own cap  ──►  guard  ──►  given  ──►  what the subject opens through it

The subject gets copies of ``given``. Nobody but the broker ever holds ``guard`` (Redell's caretaker, 1974). If there
were only one cap, the subject could drop it after he has opened something through it: what was opened would then hang
below the broker's own cap, and outlive the grant.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from attrs import frozen

from capkernel.abi import rights as rt
from capkernel.abi.words import WORD_BITS
from capkernel.protocols.brokering import ALL_RIGHTS
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Gone, ServerDied, Unsupported
from capkernel.protocols.files import Directory, File
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.lasting import LastingSlots, Slots
from capkernel.user import stubs
from capkernel.user.errors import KernelError
from capkernel.user.inbox import Inbox

TRIES: Final = 4
"""How often a service is asked that dies each time."""
RESTRICTABLE: Final[tuple[type[Interface], ...]] = (Directory, File)
"""Services that can be had with part of their rights: their numbers for these are those of brokering."""


@frozen
class Offer:
    """A service: which interface it speaks, and the address of the broker's own cap to it."""

    interface: type[Interface]
    cap: int


class Vault(LastingSlots):
    """The slots. Place n is the pair of slots 2n (the guard) and 2n + 1 (what is given)."""

    def __init__(self, inbox: Inbox, slots: Slots, offers: Mapping[str, Offer]) -> None:
        super().__init__(inbox, slots)
        self.offers = offers
        self.connection = Connection(inbox.sys, inbox)

    @property
    def places(self) -> range:
        """All places. Slot 0 stays empty: an address of 0 would be no cap's."""
        return range(1, self.slots.count // 2)

    def check(self, service: str, rights: int) -> None:
        """Raises Unsupported if a service cannot be had with part of its rights."""
        if rights != ALL_RIGHTS and self.offers[service].interface not in RESTRICTABLE:
            raise Unsupported(f"{service} can only be had with all rights")

    async def fill(self, place: int, service: str, rights: int) -> None:
        """Make the caps of a grant in a place that is empty. Raises ServerDied, or what the service answers."""
        offer = self.offers[service]
        for _ in range(TRIES):
            try:
                own: Any = connect(offer.interface, self.connection, offer.cap)
                guard = await (own.derive() if rights == ALL_RIGHTS else own.restrict(rights))
                await self.move(guard.cap, 2 * place)
                given = await self._at(offer, 2 * place).derive()
                await self.move(given.cap, 2 * place + 1)
            except (ServerDied, Gone):
                await self.take_back(place, service)
            else:
                return
        raise ServerDied(f"{service} does not answer")

    async def show(self, place: int, service: str, rights: int) -> Cap:
        """The address of the cap that is given; made anew if the service was, or the subject has dropped it."""
        for _ in range(TRIES):
            try:
                probe = await self._at(self.offers[service], 2 * place + 1).derive()
                await probe.drop()
            except ServerDied:
                continue
            except Gone:
                await self.take_back(place, service)
                await self.fill(place, service, rights)
            return self.address(2 * place + 1)
        raise ServerDied(f"{service} does not answer")

    async def take_back(self, place: int, service: str) -> None:
        """Let the caps of a place lead nowhere, and empty it. Raises ServerDied if the service does not say so."""
        if service in self.offers and await self._is_filled(2 * place):
            guard = self._at(self.offers[service], 2 * place)
            for ask in (guard.revoke, guard.drop):
                await self._until_answered(ask, service)
        for slot in (2 * place + 1, 2 * place):
            await self.empty(slot)

    async def is_whole(self, place: int) -> bool:
        """Whether both caps are there."""
        return await self._is_filled(2 * place) and await self._is_filled(2 * place + 1)

    async def _until_answered(self, ask: Callable[[], Awaitable[None]], service: str) -> None:
        for _ in range(TRIES):
            with suppress(ServerDied):
                with suppress(Gone):
                    await ask()
                return
        raise ServerDied(f"{service} does not answer")

    def _at(self, offer: Offer, slot: int) -> Any:
        return connect(offer.interface, self.connection, self.address(slot))

    async def _is_filled(self, slot: int) -> bool:
        """Whether there is a cap in a slot: an empty one cannot be copied."""
        near = self.inbox.slots
        probe = near.alloc()
        try:
            await stubs.cnode_copy(
                self.inbox.sys, near.cnode, dest_index=probe, dest_depth=near.depth, src_root=self.slots.cnode,
                src_index=slot, src_depth=WORD_BITS, rights=rt.ALL,
            )  # fmt: skip
        except KernelError:
            near.free(probe)
            return False
        await self.inbox.discard(probe)
        return True
