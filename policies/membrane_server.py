"""A membrane in front of a server, one for each client: what they are made of is in ``membrane``.

In ``names`` the table ``clients`` says for whom there is a membrane, by channel; ``modes`` says whether it is ``full``
or ``read-only``. All lead to the cap in slot ``INSIDE``, which speaks the interface that the table ``target`` names.

That a membrane is cut is written down before it is done. Proxies end when this server dies; the membrane goes on with
the cap of its client's channel, unless it was cut.
"""

from typing import Any, Final

from capkernel.protocols import files as _files  # noqa: F401
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import NotFound
from capkernel.protocols.interface import Interface, interfaces
from capkernel.protocols.membranes import MembraneControl, MembraneInfo
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.channel_names import read_channel_names
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from policies.errands import INSIDE, ByCourier, Couriers
from policies.membrane import Membrane, Mode

names: int = 0
names_size: int = 0x1000
cuts: int = 0
"""A page that lasts: a word for each channel, 1 if its membrane is cut."""

SUPERVISOR, CLIENTS, OPERATOR = 1, range(2, 30), 41
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 350, 510
FIRST_REPLY, REPLIES = 302, 8
FIRST_SESSION: Final = 64
"""Sessions of those inside, to whom objects of outside are handed: one for each membrane, from here on by channel."""


class NamesError(ValueError):
    """The tables of names say what cannot be; says what."""


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
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=self.inbox)
        self.couriers = Couriers(pd, self.inbox, self.service)
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
        if self.couriers.is_one(ch, msg):
            return await self.couriers.served(ch, msg)
        answer = await self.service.protected(msg)
        await self.service.run_ready()
        return answer


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
