"""A membrane in front of a server, one for each client: what they are made of is in ``membrane``.

In ``names`` the table ``clients`` says for whom there is a membrane, by channel; ``modes`` says whether it is ``full``
or ``read-only``. All lead to the cap in slot ``TARGET``, which speaks the interface that the table ``target`` names.

That a membrane is cut is written down before it is done. Proxies end when this server dies; the membrane goes on with
the cap of its client's channel, unless it was cut.
"""

from collections.abc import Mapping
from typing import Any, Final

from attrs import define, field

from capkernel.abi import rights as rt
from capkernel.protocols import files as _files  # noqa: F401
from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.failures import Gone, Malformed, NotFound
from capkernel.protocols.interface import DROP, Interface, Operation, interfaces
from capkernel.protocols.membranes import MembraneControl, MembraneInfo
from capkernel.protocols.service import Service
from capkernel.protocols.wire import pack_request, unpack_result
from capkernel.user import stubs
from capkernel.user.allocators import SlotAllocator
from capkernel.user.channel_names import read_channel_names
from capkernel.user.inbox import Inbox
from capkernel.user.lifecycle import SERVER_DIED
from capkernel.user.loop import ANSWERED, ENDPOINT_BADGE, PD
from capkernel.user.syscalls import Message
from capkernel.user.tasks import Condition
from policies.courier import ARGUMENTS, COUNT_SHIFT, READY, TARGET
from policies.membrane import Membrane, Mode, Proxy, Reach

names: int = 0
names_size: int = 0x1000
cuts: int = 0
"""A page that lasts: a word for each channel, 1 if its membrane is cut."""

SUPERVISOR, CLIENTS, OPERATOR, COURIERS = 1, range(2, 30), 41, range(50, 54)
ENDPOINT, OWN_CNODE, INSIDE, FIRST_COURIER_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 310, 320, 350, 510
FIRST_REPLY, REPLIES = 302, 8
FIRST_SESSION: Final = 64
"""Sessions of those inside, to whom objects of outside are handed: one for each membrane, from here on by channel."""


class NamesError(ValueError):
    """The tables of names say what cannot be; says what."""


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

    def __init__(self, pd: PD, inbox: Inbox) -> None:
        self.pd = pd
        self.inbox = inbox
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

    def __init__(self, program: "Program", session: int) -> None:
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
                    await service.mint(service.give(value, self.session), made[-1])
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


class ControlServant(MembraneControl):
    """The membranes, for whoever put them up."""

    def __init__(self, program: "Program") -> None:
        self.program = program

    async def cut(self, name: str) -> int:
        """Write it down, then do it."""
        channel, membrane = self.program.membrane(name)
        await self.program.pd.store(cuts + 8 * channel, 1)
        count: int = await membrane.cut()
        membrane.reach.cut()
        return count

    async def info(self, name: str) -> MembraneInfo:
        """How one stands."""
        _, membrane = self.program.membrane(name)
        return MembraneInfo(membrane.is_cut, len(membrane.proxies))


class Inside(Interface):
    """The root of a session of those inside: nobody has a cap to it."""


class Program:
    """The server."""

    def __init__(self) -> None:
        self.pd: Any = None
        self.inbox: Any = None
        self.service: Any = None
        self.couriers: Any = None
        self.clients: dict[int, str] = {}
        self.membranes: dict[int, Any] = {}

    async def init(self, pd: PD) -> None:
        """Put up the membranes."""
        self.pd = pd
        pd.spare_replies.extend(range(FIRST_REPLY, FIRST_REPLY + REPLIES))
        text = (await pd.read(names, names_size)).rstrip(b"\0").decode()
        self.inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.couriers = Couriers(pd, self.inbox)
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=self.inbox)
        self.clients = {ch: name for ch, name in read_channel_names(text, "clients").items() if ch in CLIENTS}
        for channel, name in self.clients.items():
            root = connect(_spoken(text), Connection(pd.sys, self.inbox), INSIDE)
            reach = ByCourier(self, FIRST_SESSION + channel)
            self.membranes[channel] = Membrane(root, _spoken(text), _mode(text, channel, name), reach, self._ended)
            if await pd.load(cuts + 8 * channel):
                await self.membranes[channel].cut()
        await self.service.open()

    def membrane(self, name: str) -> Any:
        """The channel and the membrane of a client. Raises NotFound."""
        for channel, known in self.clients.items():
            if known == name:
                return channel, self.membranes[channel]
        raise NotFound(f"there is no membrane for {name!r}")

    def _ended(self, proxy: Any) -> None:
        self.service.revoke(proxy)

    def _root(self, session: int) -> Interface | None:
        if session == OPERATOR:
            return ControlServant(self)
        membrane = self.membranes.get(session) or self.membranes.get(session - FIRST_SESSION)
        if membrane is None or membrane.is_cut:
            return None
        root: Interface = membrane.root if session in self.membranes else Inside()
        return root

    async def notified(self, pd: PD, ch: int) -> None:
        """The supervisor wants a sign of life."""
        await pd.notify(SUPERVISOR)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks, somebody inside, the operator; or a courier comes."""
        if ch not in COURIERS or msg.badge != ENDPOINT_BADGE | ch:
            answer = await self.service.protected(msg)
            await self.service.run_ready()
            return answer
        await self.couriers.come(ch, msg, await self._parcel(msg))
        # Whoever was waiting for this is answered first: that leaves a reply object to wait in.
        await self.service.run_ready()
        return await self.couriers.send_on(ch)

    async def _parcel(self, msg: Message) -> Any:
        """What a courier brings: one of this server's own objects, or the address of a cap."""
        badges = [badge for badge in msg.unwrapped if badge is not None]
        if not badges:
            return await self.inbox.take(msg)
        try:
            return self.service.servant(badges[0])
        except Gone:
            return None


def _spoken(text: str) -> type[Interface]:
    """The interface of the target. Raises NamesError."""
    wanted = next(iter(read_channel_names(text, "target").values()), "")
    found = [interface for interface in interfaces() if interface.__name__ == wanted]
    if not found:
        raise NamesError(f"the target speaks {wanted!r}, which is no interface that is known here")
    return found[0]


def _mode(text: str, channel: int, name: str) -> Mode:
    """How a client's membrane is. Raises NamesError."""
    wanted = read_channel_names(text, "modes").get(channel, "")
    if wanted not in [mode.value for mode in Mode]:
        raise NamesError(f"the membrane of {name} is {wanted!r}; it must be {', '.join(mode.value for mode in Mode)}")
    return Mode(wanted)
