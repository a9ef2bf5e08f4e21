"""Network links: frames between a network card and packet memory that its client shares with the card alone.

The memory is divided into *slots* of ``SLOT`` bytes, each for one frame. The driver only passes on where a slot lies:
it needs no access to what is in it.
"""

from abc import abstractmethod
from typing import Final

from attrs import frozen

from capkernel.protocols.interface import Interface, operation

SLOT: Final = 2048
"""Bytes."""
BATCH: Final = 16
"""Frames and slots of each kind in one ``exchange``: what fits into a message."""
MIN_FRAME: Final = 14


@frozen
class Frame:
    """An Ethernet frame, from its destination address on, without checksum: ``size`` bytes at the start of a slot."""

    slot: int
    size: int


@frozen
class LinkInfo:
    """A card: its address of 6 bytes, the largest packet in a frame, whether its cable leads anywhere; how many slots
    there are, and how many the card can have at a time to receive into and to send from.
    """

    mac: bytes
    mtu: int
    is_up: bool
    slots: int
    receives: int
    sends: int


@frozen
class Exchanged:
    """What the client has again: frames that arrived, slots whose frames were sent; whether there is more at once."""

    received: list[Frame]
    sent: list[int]
    has_more: bool


class Link(Interface, number=16):
    """A network card. Each slot is its client's or the card's, never both.

    The driver signals its client when something arrived. Nothing here waits. A frame may be lost on its way.
    """

    @operation(1)
    @abstractmethod
    async def open(self) -> LinkInfo:
        """Begin: the card is reset, and all slots are the client's. To be asked first, and after ``Gone``."""

    @operation(2)
    @abstractmethod
    async def exchange(self, transmit: list[Frame], provide: list[int]) -> Exchanged:
        """Send frames, give slots to receive into, take what is done: at most ``BATCH`` of each.

        Malformed (and nothing is done) for a slot that is the card's already or does not exist, or a frame of no
        possible size. Busy if the card has no room for so many. Gone if the driver does not know this client yet.
        """

    @operation(3)
    @abstractmethod
    async def info(self) -> LinkInfo:
        """What the card is now."""
