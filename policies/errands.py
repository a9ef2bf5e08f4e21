"""Errands: questions that couriers carry for a server that waits for nobody (``courier`` says why).

Couriers call the server on ``COURIERS``; it holds the cap to the CNode of the n-th in slot ``FIRST_COURIER_CNODE`` + n.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

from attrs import define, field

from capkernel.abi import rights as rt
from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.failures import Gone, Malformed
from capkernel.protocols.interface import DROP, Interface, Operation
from capkernel.protocols.service import Service
from capkernel.protocols.wire import pack_request, unpack_result
from capkernel.user import stubs
from capkernel.user.inbox import Inbox
from capkernel.user.lifecycle import SERVER_DIED
from capkernel.user.loop import ANSWERED, ENDPOINT_BADGE, PD
from capkernel.user.syscalls import Message
from capkernel.user.tasks import Condition
from policies.courier import ARGUMENTS, COUNT_SHIFT, READY, TARGET
from policies.membrane import Proxy, Reach

COURIERS: Final = range(50, 54)
"""Channels."""
FIRST_COURIER_CNODE, INSIDE = 320, 310
"""Slots: the couriers' CNodes from there on, and the cap with which everything begins, which is never given up."""


class Sender(Protocol):
    """The server whose errands these are."""

    @property
    def inbox(self) -> Inbox:
        """Where caps arrive."""

    @property
    def service(self) -> Service:
        """What gives out caps."""

    @property
    def couriers(self) -> "Couriers":
        """Who carries."""


@define(eq=False)
class Errand:
    """A question that a courier carries. ``answer`` is None until it is back; ``parcel`` is what came along."""

    cap: int
    message: Message
    caps: tuple[int, ...] = ()
    is_release: bool = False
    is_given_up: bool = False
    answer: Message | None = None
    parcel: Any = None
    done: Condition = field(factory=Condition)


class Couriers:
    """Those who carry questions, and those questions for which nobody is free. Courier n is on channel COURIERS[n]."""

    def __init__(self, pd: PD, inbox: Inbox, service: Service) -> None:
        self.pd = pd
        self.inbox = inbox
        self.service = service
        self.waiting: list[Errand] = []
        self.idle: list[tuple[int, int]] = []
        """Channels, and the reply objects in which those couriers wait."""
        self.underway: dict[int, Errand] = {}

    async def carry(self, errand: Errand) -> None:
        """Have a question carried; ``errand.done`` is notified when it is answered."""
        if self.idle:
            channel, held = self.idle.pop(0)
            await self.pd.answer(held, await self._load(channel, errand))
        else:
            self.waiting.append(errand)

    @staticmethod
    def is_one(channel: int, msg: Message) -> bool:
        """Whether a call is a courier's."""
        return channel in COURIERS and msg.badge == ENDPOINT_BADGE | channel

    async def served(self, channel: int, msg: Message) -> Any:
        """A courier calls: take what it brings, and send it on; for the server's ``protected``."""
        await self.come(channel, msg, await self._parcel(msg))
        # Whoever was waiting for this is answered first: that leaves a reply object to wait in.
        await self.service.run_ready()
        return await self.send_on(channel)

    async def come(self, channel: int, msg: Message, parcel: Any) -> None:
        """A courier is back, or new."""
        errand = self.underway.pop(channel, None)
        if isinstance(parcel, int) and (errand is None or errand.is_given_up or errand.is_release):
            await self.inbox.discard(parcel)
        if errand is None:
            return
        errand.answer = Message(SERVER_DIED) if msg.label == READY else Message(msg.label, msg.words)
        errand.parcel = parcel
        errand.done.notify()
        if errand.is_release:
            await self.inbox.discard(errand.cap)

    async def send_on(self, channel: int) -> Any:
        """Something for a courier to do, or nothing yet: it waits."""
        self.waiting = [errand for errand in self.waiting if not errand.is_given_up]
        if self.waiting:
            return await self._load(channel, self.waiting.pop(0))
        self.idle.append((channel, self.pd.hold_caller()))
        return ANSWERED

    async def _parcel(self, msg: Message) -> Any:
        """What a courier brings: one of the server's own objects, or the address of a cap."""
        badges = [badge for badge in msg.unwrapped if badge is not None]
        if not badges:
            return await self.inbox.take(msg)
        try:
            return self.service.servant(badges[0])
        except Gone:
            return None

    async def _load(self, channel: int, errand: Errand) -> Message:
        """Put the caps into the courier's slots; the message that sends it off."""
        cnode = FIRST_COURIER_CNODE + COURIERS.index(channel)
        for slot, cap in zip((TARGET, *ARGUMENTS), (errand.cap, *errand.caps), strict=False):
            await stubs.cnode_copy(
                self.pd.sys, cnode, dest_index=slot, dest_depth=self.inbox.slots.depth,
                src_root=self.inbox.slots.cnode, src_index=cap, src_depth=self.inbox.slots.depth, rights=rt.ALL,
            )  # fmt: skip
        self.underway[channel] = errand
        return Message(errand.message.label | len(errand.caps) << COUNT_SHIFT, errand.message.words)


class ByCourier(Reach):
    """Objects behind caps, asked by couriers. A proxy of another membrane is here, and called."""

    def __init__(self, program: Sender, session: int) -> None:
        self.program = program
        self.session = session
        self.asked: list[Errand] = []

    async def ask(self, target: Any, operation: Operation, values: Mapping[str, Any]) -> Any:
        """Ask, and wait for the courier; Gone if the membrane was cut meanwhile."""
        if isinstance(target, Proxy):
            return await super().ask(target, operation, values)
        inbox, service = self.program.inbox, self.program.service
        message = await pack_request(operation, dict(values), None)
        made: list[int] = []
        caps: list[int] = []
        try:
            for parameter in operation.caps:
                value = values[parameter.name]
                if isinstance(value, Proxy):
                    made.append(inbox.slots.alloc())
                    await service.mint(service.give(cast("Interface", value), self.session), made[-1])
                caps.append(made[-1] if isinstance(value, Proxy) else value.cap)
            errand = Errand(target.cap, message, tuple(caps))
            self.asked.append(errand)
            await self.program.couriers.carry(errand)
            while errand.answer is None and not errand.is_given_up:
                await errand.done.wait()
            self.asked = [each for each in self.asked if each is not errand]
            if errand.answer is None or errand.is_given_up:
                raise Gone("the way here was cut")
            return await self._result(operation, errand.answer, errand.parcel)
        finally:
            for slot in made:
                await inbox.discard(slot)

    async def _result(self, operation: Operation, answer: Message, parcel: Any) -> Any:
        wanted = operation.result
        if not answer.label and wanted is not None and wanted.is_cap and parcel is not None:
            if isinstance(parcel, int) and wanted.interface is not None:
                return connect(wanted.interface, Connection(self.program.inbox.sys, self.program.inbox), parcel)
            return parcel
        if isinstance(parcel, int):
            await self.program.inbox.discard(parcel)
        if not answer.label and wanted is not None and wanted.is_cap:
            raise Malformed(f"the reply to {operation.name} brings no cap")
        return await unpack_result(operation, answer, None)

    def keep(self, found: Any) -> None:
        """What came with a request belongs to the membrane from now on, and not to the request."""
        if isinstance(found, Stub):
            found.is_owned = False

    async def release(self, target: Any) -> None:
        """Tell its server that nobody needs it, and give up the cap."""
        if isinstance(target, Stub) and target.cap != INSIDE:
            label = target.interface.number << 8 | DROP
            await self.program.couriers.carry(Errand(target.cap, Message(label), is_release=True))

    def cut(self) -> None:
        """Whoever waits for an answer is told."""
        for errand in self.asked:
            errand.is_given_up = True
            errand.done.notify()
