"""Caps in slots that outlive their server: those of a granted CNode (``lasts`` in the description)."""

from collections.abc import Iterable
from typing import Final

from attrs import frozen

from capkernel.abi.words import WORD_BITS
from capkernel.protocols.failures import QuotaExceeded
from capkernel.protocols.interface import Cap
from capkernel.user import stubs
from capkernel.user.inbox import Inbox

NOWHERE: Final = 0
"""Slot 0 stays empty: an address of 0 would be no cap's."""


@frozen
class Slots:
    """Slots that last: the cap to their CNode, the cap address of slot 0, how many there are."""

    cnode: int
    address: int
    count: int


class LastingSlots:
    """Slots that last, and caps that come into them from an inbox."""

    def __init__(self, inbox: Inbox, slots: Slots) -> None:
        self.inbox = inbox
        self.slots = slots

    def address(self, slot: int) -> Cap:
        """The cap address of a slot."""
        return Cap(self.slots.address | slot)

    async def move(self, cap: int, slot: int) -> None:
        """Move a cap that was received into an empty slot."""
        near = self.inbox.slots
        await stubs.cnode_move(
            self.inbox.sys, self.slots.cnode, dest_index=slot, dest_depth=WORD_BITS, src_root=near.cnode,
            src_index=cap, src_depth=near.depth,
        )  # fmt: skip
        near.free(cap)

    async def empty(self, slot: int) -> None:
        """Delete what is in a slot, if anything is."""
        await stubs.cnode_delete(self.inbox.sys, self.slots.cnode, index=slot, depth=WORD_BITS)


class Lockers(LastingSlots):
    """Slots that last and are given out as they are needed.

    Which are in use is known by the record that their server writes down: what came into a slot and is not in the
    record when the server dies is gone in its next life.
    """

    def __init__(self, inbox: Inbox, slots: Slots) -> None:
        super().__init__(inbox, slots)
        self.used: set[int] = {NOWHERE}

    async def put(self, cap: int) -> int:
        """The slot into which a received cap was moved. Raises QuotaExceeded, and then the cap is deleted."""
        slot = next((each for each in range(self.slots.count) if each not in self.used), NOWHERE)
        if slot == NOWHERE:
            await self.inbox.discard(cap)
            raise QuotaExceeded(f"all {self.slots.count - 1} slots are taken")
        self.used.add(slot)
        await self.move(cap, slot)
        return slot

    async def settle(self, wanted: Iterable[int]) -> None:
        """Empty every slot in use that the record, which has just been written, does not name any more."""
        for slot in sorted(self.used - {NOWHERE, *wanted}):
            await self.empty(slot)
            self.used.remove(slot)

    async def open(self, wanted: Iterable[int]) -> None:
        """Go on with the slots that a former life's record names; all others are emptied."""
        self.used = set(range(self.slots.count))
        await self.settle(wanted)
