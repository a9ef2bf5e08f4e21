"""The driver of a virtio network card (VIRTIO 1.2, section 5.1).

It holds the card's registers, its interrupt, and two pages for rings and frame headers. The frames it never touches: it
passes I/O addresses of slots on, and the card reaches its client's packet memory by itself.

A card is not trusted. When it breaks the rules of its rings, asks for a reset or does not send a frame within three
signs of life asked for by the supervisor, it is reset and given everything again. In quiet times a frame to itself, at
every eighth sign of life, shows whether it still works. If resets come too often the driver gives up, by an exception.

With memory that outlives it (``state``) it can give way to another driver for the same card: what is to be sent is sent
first, and what has arrived or is to be received into is handed over.
"""

from collections import deque
from contextlib import suppress
from typing import Any, ClassVar, Final, cast

from attrs import define, frozen

from capkernel.protocols.failures import Busy, Gone, Malformed
from capkernel.protocols.interface import Interface
from capkernel.protocols.link import BATCH, MIN_FRAME, SLOT, Exchanged, Frame, Link, LinkInfo
from capkernel.protocols.service import Service
from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from servers.drivers.virtio import IRQ, PATIENCE, SUPERVISOR, Buffer, Device, DeviceMisbehaved, Layout, Queue
from servers.neighbours import Role, Serves, Uses
from servers.system.retiring import Handover, decline

registers: int = 0
rings: int = 0
rings_io: int = 0x1000_0000
packets_io: int = 0x2000_0000
packets_size: int = 0x2_0000
state: int = 0
state_size: int = 0x4000

CLIENT, UPDATE = 2, 20
"""Channels."""

_MTU, _MAC, _STATUS = 1 << 3, 1 << 5, 1 << 16
_RECEIVE, _TRANSMIT = 0, 1
_SIZE: Final = 64
_CHAIN: Final = 2
_HEADER: Final = 12
_NO_INTERRUPT: Final = 1
_TRANSMIT_RING, _RECEIVED_HEADERS, _SENT_HEADER, _PROBE = 0x800, 0x1000, 0x1400, 0x1440
"""Offsets in the two pages; the receive ring is at 0. A received frame's header has 16 bytes of its own."""
_FRAMING: Final = 14
_USUAL_MTU: Final = 1500
_PROBE_SIZE: Final = 60
_EXPERIMENTAL: Final = b"\x88\xb5"
"""The type of a frame for local experiments: nobody takes the card's frame to itself for something else."""
QUIET: Final = 8
"""Signs of life without news until the card is tried."""
KEPT: Final = 1
"""Places for sending that are kept for the card's frame to itself."""
POLL, POLLS = 100, 100
"""Ticks after which a driver that is to retire looks again whether all frames are sent; how often, at most."""
PROBE: Final = -1
"""In the place of a slot: the card's frame to itself."""


@define
class _Sending:
    """A frame that the card is to send: where it lies for the card, its size, for how many signs of life it has it."""

    slot: int
    io: int
    size: int
    age: int = 0


@frozen
class KeptCard:
    """For the next program: whether a client has opened the card, and which slots are whose."""

    is_open: bool
    provided: list[int]
    received: list[Frame]
    sent: list[int]


class Card(Device):
    """The device: slots go in, and are done when ``interrupt``, ``look`` or the client finds them done."""

    kind = 1
    wanted = _MTU | _MAC | _STATUS

    def __init__(self, pd: PD, registers: int, rings: int, rings_io: int) -> None:
        self.receive = Queue(pd, Layout(rings, rings_io, _SIZE), _CHAIN)
        self.transmit = Queue(pd, Layout(rings + _TRANSMIT_RING, rings_io + _TRANSMIT_RING, _SIZE), _CHAIN)
        super().__init__(pd, registers, self.receive, self.transmit)
        self.rings = rings
        self.rings_io = rings_io
        self.mac = bytes(6)
        self.mtu = _USUAL_MTU
        self.provided: dict[int, int] = {}
        """The slot of each receive request that the card has."""
        self.sending: dict[int, _Sending] = {}
        self.received: deque[Frame] = deque()
        self.sent: deque[int] = deque()
        self.quiet = 0

    async def configure(self) -> None:
        """Read the address, and how much fits into a frame."""
        if self.features & _MAC:
            self.mac = bytes([await self.transport.config(at, 1) for at in range(6)])
        if self.features & _MTU:
            self.mtu = min(await self.transport.config(10, 2), SLOT - _FRAMING)

    async def resume(self) -> None:
        """Give the card its slots and frames again."""
        await self.pd.write(self.rings + _SENT_HEADER, bytes(_HEADER))
        await self.pd.write(self.rings + _PROBE, (self.mac * 2 + _EXPERIMENTAL).ljust(_PROBE_SIZE, b"\0"))
        await self._interrupt_when_sent(False)
        for place, slot in sorted(self.provided.items()):
            await self._offer_slot(place, slot)
        for place, sending in sorted(self.sending.items()):
            sending.age = 0
            await self._offer_frame(place, sending)
        if self.provided:
            await self.transport.notify(_RECEIVE)
        if self.sending:
            await self.transport.notify(_TRANSMIT)

    async def forget(self) -> None:
        """Start again with nothing: all slots are the client's."""
        for each in (self.provided, self.sending, self.received, self.sent):
            each.clear()
        self.resets = self.quiet = 0
        await self.start()

    async def stop(self) -> bool:
        """Send what is to be sent, and let the card do nothing more; false if it does not send. A frame to itself need
        not be waited for.
        """
        for _ in range(POLLS):
            await self.settle()
            if all(each.slot == PROBE for each in self.sending.values()):
                await self.transport.reset()
                # From here on it writes into no slot any more. If it broke the rules at the very end, so be it.
                with suppress(DeviceMisbehaved):
                    await self.collect()
                return True
            await self.pd.compute(POLL)
        return False

    async def take_up(self, kept: KeptCard) -> None:
        """Go on with the slots that another driver had. Raises ValueError if none can have had them."""
        slots = [*kept.provided, *(frame.slot for frame in kept.received), *kept.sent]
        if len(set(slots)) != len(slots) or not set(slots) <= set(range(packets_size // SLOT)):
            raise ValueError("a slot is had twice, or is none")
        if any(not MIN_FRAME <= frame.size <= SLOT for frame in kept.received):
            raise ValueError("a frame has arrived that does not fit into its slot")
        if len(kept.provided) > _free(self.receive):
            raise ValueError("the card has no room for so many slots")
        self.received.extend(kept.received)
        self.sent.extend(kept.sent)
        await self.provide(kept.provided)

    async def is_up(self) -> bool:
        """Whether the cable leads anywhere, as far as the card says."""
        return not self.features & _STATUS or bool(await self.transport.config(6, 2) & 1)

    # What the client wants

    def check(self, frames: list[Frame], slots: list[int]) -> None:
        """Whether all this can be given to the card. Raises Malformed, Busy."""
        if max(len(frames), len(slots)) > BATCH:
            raise Malformed(f"at most {BATCH} frames and {BATCH} slots at a time")
        taken = {*self.provided.values(), *(each.slot for each in self.sending.values())}
        taken |= {*self.sent, *(frame.slot for frame in self.received)}
        for slot in [*(frame.slot for frame in frames), *slots]:
            if not 0 <= slot < packets_size // SLOT:
                raise Malformed(f"there is no slot {slot}")
            if slot in taken:
                raise Malformed(f"slot {slot} is the card's, or named twice")
            taken.add(slot)
        for frame in frames:
            if not MIN_FRAME <= frame.size <= self.mtu + _FRAMING:
                raise Malformed(f"a frame has {MIN_FRAME} to {self.mtu + _FRAMING} bytes, not {frame.size}")
        if len(frames) > _free(self.transmit) - KEPT or len(slots) > _free(self.receive):
            raise Busy("the card has no room for so much")

    async def provide(self, slots: list[int]) -> None:
        """Let the card receive into slots."""
        for slot in slots:
            place = _place(self.receive)
            self.provided[place] = slot
            await self._offer_slot(place, slot)
        if slots:
            await self.transport.notify(_RECEIVE)

    async def send(self, frames: list[Frame]) -> None:
        """Let the card send frames."""
        for frame in frames:
            await self._send(_Sending(frame.slot, packets_io + frame.slot * SLOT, frame.size))
        if frames:
            await self.transport.notify(_TRANSMIT)
            await self._interrupt_when_sent(_free(self.transmit) <= KEPT)

    async def _send(self, sending: _Sending) -> None:
        place = _place(self.transmit)
        self.sending[place] = sending
        await self._offer_frame(place, sending)

    async def _offer_slot(self, place: int, slot: int) -> None:
        header = self.rings_io + _RECEIVED_HEADERS + 16 * place
        await self.receive.offer(
            place, (Buffer(header, _HEADER, True), Buffer(packets_io + slot * SLOT, SLOT, True))
        )  # fmt: skip

    async def _offer_frame(self, place: int, sending: _Sending) -> None:
        header = self.rings_io + _SENT_HEADER
        await self.transmit.offer(place, (Buffer(header, _HEADER, False), Buffer(sending.io, sending.size, False)))

    async def _interrupt_when_sent(self, wanted: bool) -> None:
        """Whether the card is to interrupt when a frame was sent. Only who has no room left wants to know."""
        await self.pd.store(self.rings + _TRANSMIT_RING + 16 * _SIZE, 0 if wanted else _NO_INTERRUPT, 2)

    # What the card has done

    async def beat(self) -> None:
        """See whether a frame takes too long, and whether the card still works."""
        for sending in self.sending.values():
            sending.age += 1
            if sending.age > PATIENCE:
                raise DeviceMisbehaved("a frame is not sent")
        self.quiet += 1
        if self.quiet >= QUIET and not self.sending:
            self.quiet = 0
            await self._send(_Sending(PROBE, self.rings_io + _PROBE, _PROBE_SIZE))
            await self.transport.notify(_TRANSMIT)

    async def collect(self) -> None:
        """Take what is done out of the rings. Raises DeviceMisbehaved."""
        for place, written in await self.receive.completed():
            # Taken out only when its length is known to be possible: after a reset it is given again.
            if not _HEADER + MIN_FRAME <= written <= _HEADER + self.mtu + _FRAMING + 4:
                raise DeviceMisbehaved(f"a frame of {written - _HEADER} bytes is said to have arrived")
            self.received.append(Frame(self.provided.pop(place), written - _HEADER))
            self.resets = self.quiet = 0
        for place, _ in await self.transmit.completed():
            sending = self.sending.pop(place)
            if sending.slot != PROBE:
                self.sent.append(sending.slot)
            self.resets = self.quiet = 0


def _free(queue: Queue) -> int:
    """How many requests a queue still takes."""
    return queue.places - len(queue.outstanding)


def _place(queue: Queue) -> int:
    place = queue.free_place()
    if place is None:
        raise Busy("the card has no room for so much")
    return place


class LinkServant(Link):
    """The card as its client sees it."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.is_open = False

    def kept(self) -> KeptCard:
        """What the next program goes on with."""
        card = self.card
        return KeptCard(self.is_open, list(card.provided.values()), list(card.received), list(card.sent))

    async def take_up(self, kept: KeptCard) -> None:
        """Go on with it."""
        await self.card.take_up(kept)
        self.is_open = kept.is_open

    async def open(self) -> LinkInfo:
        """Begin."""
        await self.card.forget()
        self.is_open = True
        return await self.info()

    async def exchange(self, transmit: list[Frame], provide: list[int]) -> Exchanged:
        """Give and take."""
        card = self.card
        if not self.is_open:
            raise Gone("this driver has not been opened; it may have been started anew")
        await card.settle()
        card.check(transmit, provide)
        await card.provide(provide)
        await card.send(transmit)
        received, sent = _taken(card.received), _taken(card.sent)
        return Exchanged(received, sent, bool(card.received or card.sent))

    async def info(self) -> LinkInfo:
        """What the card is."""
        card = self.card
        slots, receives, sends = packets_size // SLOT, card.receive.places, card.transmit.places - KEPT
        return LinkInfo(card.mac, card.mtu, await card.is_up(), slots, receives, sends)


def _taken(queue: deque[Any]) -> list[Any]:
    return [queue.popleft() for _ in range(min(BATCH, len(queue)))]


class Program:
    """The driver."""

    uses: ClassVar[Uses] = Uses(
        serves={CLIENT: Serves(Link)}, interrupts=frozenset({IRQ}),
        signals={SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        needs=frozenset({"registers", "rings"}),
    )  # fmt: skip

    def __init__(self) -> None:
        self.card: Any = None
        self.link: Any = None
        self.service: Any = None
        self.handover: Any = None

    async def init(self, pd: PD) -> None:
        """Start the device, and serve. Who had opened a former life of this driver is told that there is news."""
        self.card = Card(pd, registers, rings, rings_io)
        await self.card.start()
        self.link = LinkServant(self.card)
        self.service = Service(pd, roots=self.root)
        if state:
            self.handover = Handover(pd, KeptCard, SharedRegion(state, state_size), SUPERVISOR, UPDATE)
            await self.handover.go_on(self.link.take_up)
        await pd.notify(CLIENT)

    def root(self, session: int) -> Interface | None:
        """What the client's own cap leads to."""
        return cast(Interface, self.link) if session == CLIENT else None

    async def notified(self, pd: PD, ch: int) -> None:
        """The device interrupts, or the supervisor wants a sign of life, or another program in this one's place."""
        if ch == UPDATE:
            await self._give_way(pd)
        await self.card.notified(ch)
        if self.card.received or self.card.sent:
            await pd.notify(CLIENT)

    async def _give_way(self, pd: PD) -> None:
        if self.handover is None:
            await decline(pd, "there is no memory that outlives what has arrived")
        elif not await self.card.stop():
            await decline(pd, "the card does not send what it is to send")
        else:
            await self.handover.give_way(self.link.kept())
            await self.card.start()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """The client asks."""
        return await self.service.protected(msg)
