"""A gateway as a server of its machine: a card's client on one side, a server of programs on the other.

Its settings and its secret key are in memory that the description fills (``settings``). What was revoked is in memory
that outlives it; nothing else is, so tokens for what was not named by the description end with it. Frames are
Ethernet's, of a type for local experiments: a length of two bytes, a packet of ``sessions``.
"""

import hmac
from typing import Any, Final

from attrs import frozen

from capkernel.protocols.cable import Cable
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.clocks import RealTimeClock
from capkernel.protocols.entropy import Entropy
from capkernel.protocols.failures import NoSpace, NotPermitted, ServerDied
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.link import Link
from capkernel.protocols.remote import Remote, Revoked, Terms
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.kept import KeptValue
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.syscalls import Message
from policies.errands import ByCourier, Couriers
from policies.remote.gateway import Gateway, Here, World
from policies.remote.objects import Revocations, interface_numbered
from policies.remote.sessions import Machine
from policies.remote.settings import Client, read_identity, read_settings

CARD, SUPERVISOR, CLIENTS, ENTROPY, CLOCK, BEAT = 0, 1, range(2, 10), 40, 41, 42
"""Channels."""
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 350, 510
FIRST_REPLY, REPLIES = 302, 8
SESSION: Final = 64
"""Of this machine's servers, to whom objects of other machines are handed."""
FRAME_TYPE: Final = b"\x88\xb6"
_HEADER: Final = 16
"""Bytes before a packet: two addresses, the type, the length."""
TICKS_PER_US: Final = 10
SEED: Final = 32
MAX_ROUNDS: Final = 8


@frozen
class Block:
    """A block of tokens that was revoked, and until which second that must be known."""

    id: bytes
    until: int


@frozen
class Withdrawn:
    """An offer that was withdrawn."""

    name: str
    key: bytes


@frozen
class Remembered:
    """What outlives the gateway."""

    blocks: list[Block]
    offers: list[Withdrawn]


class Numbers:
    """Random bytes from a seed: HMAC-SHA-512 in counter mode (NIST SP 800-108)."""

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        self.count = 0

    def __call__(self, size: int) -> bytes:
        """So many bytes."""
        found = b""
        while len(found) < size:
            self.count += 1
            found += hmac.digest(self.seed, self.count.to_bytes(8, "little"), "sha512")
        return found[:size]


class RemoteServant(Remote):
    """The gateway, as one program of this machine may use it."""

    def __init__(self, program: "Program", client: Client) -> None:
        self.program = program
        self.gateway: Gateway = program.gateway
        self.client = client

    def _may(self, what: str) -> None:
        if what not in self.client.may:
            raise NotPermitted(f"this program may not {what}")

    async def lookup(self, machine: str, name: str) -> Cap:
        """What another machine offers."""
        if f"{machine}/{name}" not in self.client.lookup:
            raise NotPermitted(f"this program may not look up {machine}/{name}")
        found: Cap = await self.gateway.lookup(machine, name)
        return found

    async def issue(self, what: Cap, interface: int, machine: str, terms: Terms) -> bytes:
        """A token for an object of this machine."""
        self._may("issue")
        spoken, inbox = interface_numbered(interface), self.program.inbox
        stub = connect(spoken, Connection(self.program.pd.sys, inbox), what, is_owned=True)
        return self.gateway.issue(stub, spoken, machine, terms)

    async def accept(self, token: bytes) -> Cap:
        """What a token leads to."""
        self._may("accept")
        found: Cap = await self.gateway.accept(token)
        return found

    async def attenuate(self, token: bytes, terms: Terms) -> bytes:
        """A token that allows less."""
        return self.gateway.attenuate(token, terms)

    async def delegate(self, token: bytes, machine: str) -> bytes:
        """A token for another machine besides."""
        self._may("issue")
        return self.gateway.delegate(token, machine)

    async def revoke_token(self, token: bytes) -> Revoked:
        """End a token."""
        self._may("issue")
        return await self.gateway.revoke(token)

    async def withdraw(self, name: str, machine: str) -> Revoked:
        """End an offer."""
        self._may("withdraw")
        return await self.gateway.withdraw(name, machine)


class Program:
    """The server. ``text`` are its settings."""

    settings: int = 0
    settings_size: int = 0x1000
    secret: int = 0
    secret_size: int = 0x1000
    revocations: int = 0
    revocations_size: int = 0x4000
    packets: int = 0
    packets_size: int = 0x2_0000

    def __init__(self) -> None:
        self.text = ""
        self.pd: Any = None
        self.inbox: Any = None
        self.service: Any = None
        self.couriers: Any = None
        self.gateway: Any = None
        self.cable: Any = None
        self.kept: Any = None
        self.clients: dict[int, Client] = {}
        self.ticks = 0
        self.booted_second = 0

    async def init(self, pd: PD) -> None:
        """Find out who it is and what time it is; open the card."""
        self.pd = pd
        pd.spare_replies.extend(range(FIRST_REPLY, FIRST_REPLY + REPLIES))
        self.inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=self.inbox)
        self.couriers = Couriers(pd, self.inbox, self.service)
        self.cable = Cable(
            connect(Link, Connection(pd.sys), BASE_ENDPOINT_CAP + CARD), SharedRegion(self.packets, self.packets_size)
        )
        await self.cable.open()
        await self._set_clock()
        self.text = (await pd.read(self.settings, self.settings_size)).rstrip(b"\0").decode()
        said = read_settings(self.text)
        identity = read_identity(said.name, (await pd.read(self.secret, self.secret_size)).rstrip(b"\0").decode())
        self.clients = said.clients
        self.kept = KeptValue(Remembered, SharedRegion(self.revocations, self.revocations_size))
        world = World(
            identity=identity, machines=said.machines, offers=said.offers, suites=said.suites,
            near=ByCourier(self, SESSION), tasks=self.service.tasks, random=Numbers(await self._seed()),
            send=self._send, now_us=lambda: self.ticks // TICKS_PER_US, second=self._second, keep=self._keep,
            ended=self.service.revoke,
        )  # fmt: skip
        self.gateway = self.made(world)
        await self._remember()
        for thing in said.things:
            stub = connect(thing.interface, Connection(pd.sys, self.inbox), thing.slot)
            self.gateway.name(thing.name, stub, thing.interface)
        await self.service.open()

    def made(self, world: World) -> Gateway:
        """The gateway in it."""
        return Gateway(world)

    def _root(self, session: int) -> Interface | None:
        if session == SESSION:
            return Here()
        client = self.clients.get(session)
        return None if client is None or session not in CLIENTS else RemoteServant(self, client)

    # Time and chance

    async def _set_clock(self) -> None:
        clock: Any = connect(RealTimeClock, Connection(self.pd.sys), BASE_ENDPOINT_CAP + CLOCK)
        self.ticks = await self.pd.clock()
        self.booted_second = await _surely(clock.now) // 10**9 - self.ticks // (TICKS_PER_US * 10**6)

    def _second(self) -> int:
        return self.booted_second + self.ticks // (TICKS_PER_US * 10**6)

    async def _seed(self) -> bytes:
        source: Any = connect(Entropy, Connection(self.pd.sys), BASE_ENDPOINT_CAP + ENTROPY)
        found: bytes = await _surely(lambda: source.read(SEED))
        return found

    # What lasts

    async def _keep(self, revoked: Revocations) -> None:
        blocks = [Block(block, until) for block, until in revoked.blocks.items()]
        offers = [Withdrawn(name, key) for name, key in sorted(revoked.offers)]
        try:
            await self.kept.save(Remembered(blocks, offers))
        except ValueError:
            raise NoSpace(
                "there is no room to write another revocation down: it holds until this gateway is started anew"
            ) from None

    async def _remember(self) -> None:
        found = await self.kept.load()
        if found is not None:
            self.gateway.revocations.blocks = {block.id: block.until for block in found.blocks}
            self.gateway.revocations.offers = {(each.name, each.key) for each in found.offers}

    # The link

    def _send(self, machine: Machine, packet: bytes) -> None:
        size = len(packet).to_bytes(2, "big")
        self.cable.send(machine.address + self.cable.mac + FRAME_TYPE + size + packet)

    async def _take(self, frame: bytes) -> None:
        size = int.from_bytes(frame[14:_HEADER], "big")
        if len(frame) < _HEADER + size or frame[:6] != self.cable.mac or frame[12:14] != FRAME_TYPE:
            return
        await self.gateway.take(frame[6:12], frame[_HEADER : _HEADER + size])

    async def _turn(self, *, is_news: bool = False) -> None:
        """Let go on what can, and carry frames both ways."""
        cable = self.cable
        cable.is_refused = False
        for _ in range(MAX_ROUNDS):
            await self.service.run_ready()
            if not is_news and not cable.has_work:
                break
            frames, is_news = await cable.exchange()
            for frame in frames:
                await self._take(frame)

    # Hooks

    async def notified(self, pd: PD, ch: int) -> None:
        """The card has something, time passes, or the supervisor wants a sign of life."""
        if ch == SUPERVISOR:
            await pd.notify(SUPERVISOR)
            return
        self.ticks = await pd.clock()
        if ch == BEAT:
            await self.gateway.tick()
        await self._turn(is_news=ch == CARD)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A program of this machine asks, or a courier comes."""
        self.ticks = await pd.clock()
        if self.couriers.is_one(ch, msg):
            answer = await self.couriers.served(ch, msg)
        else:
            answer = await self.service.protected(msg)
        await self._turn()
        return answer


async def _surely(ask: Any) -> Any:
    """What a driver answers, though it may be started anew meanwhile."""
    while True:
        try:
            return await ask()
        except ServerDied:
            continue
