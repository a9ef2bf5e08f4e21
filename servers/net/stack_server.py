"""The network server: lwIP on a card's frames, given out as caps to streams, listeners, datagrams, pings and names.

It holds no device: it maps the packet memory that the card's driver passes on, and calls the driver. Time comes from
the metronome's beats. Which client gets which cap at first is in its policy (``policy``).

A driver that lives and fails every request is complained of to the supervisor.

When it dies its connections are over. A request that waited is answered with ``ServerDied``; streams, listeners and all
else that was opened in its former life answer ``Gone``, and nobody signals a notification for them any more. A client's
own cap leads to the new life: what it needs it opens again. Peers get a reset when they next send something.

With memory that outlives it (``state``) it can give way to another program (``handover``): connections, listeners and
ports stay open, caps go on leading where they led, and who waits goes on waiting. Nobody notices more than a delay.
"""

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any, ClassVar, Final, cast

from capkernel.protocols.cable import Cable
from capkernel.protocols.client import Connection
from capkernel.protocols.interface import Interface
from capkernel.protocols.link import Link
from capkernel.protocols.network import INLINE, Datagrams, Dialer, Listener, Network, Pinger, Resolver
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import read
from capkernel.user.syscalls import Message
from servers.neighbours import Asks, ByTable, Role, Serves, Uses, neighbour
from servers.net.handover import KeptNetwork, KeptWaiting, Objects, take_up_cable
from servers.net.lasting_inbox import LastingInbox
from servers.net.lwip import WHY_NOT as WHY_NOT
from servers.net.lwip.kept import KeptStack, take_up_stack
from servers.net.lwip.stack import Stack
from servers.net.node import DATAGRAMS, LISTENERS, Account, Begun, Node
from servers.net.policy import CLIENTS, Policy, PolicyError, read_policy
from servers.net.sockets import Listening, given
from servers.system.complaints import complaints_of
from servers.system.lasting_slots import LastingSlots
from servers.system.retiring import Handover, decline
from servers.system.waiting import Callers, LastingReplies, keep_request

policy: int = 0
policy_size: int = 0x1000
packets: int = 0
packets_size: int = 0x2_0000
regions: int = 0
"""Where the memory begins that is shared with clients: ``REGION`` bytes for each channel from the first on."""
first_reply: int = 302
reply_count: int = 16
state: int = 0
state_size: int = 0x20_0000
"""Memory for the server after this one; who gives it that gives it slots that last, and memory for reply objects."""

LINK, METRONOME, SUPERVISOR, UPDATE = 0, 1, 20, 21
"""Channels."""
REGION: Final = 0x1_0000
SHARED_ANSWER: Final = 0x8000
"""Bytes in one answer to a client with which memory is shared."""
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 330, 510
HELD_CNODE, HELD_ADDRESS, HELD_REPLIES, HELD_SLOTS, REPLY_MEMORY = 320, 1 << 58, range(1, 18), range(18, 256), 321
"""The granted CNode that lasts: the cap to it, the cap address of slot 0, its slots for reply objects and for what
clients give; and the memory for reply objects.
"""
SPARE_SLOTS: Final = 4
"""Slots for what is not a client's notification."""
OBJECTS: Final = 128
"""Caps that a session may have open."""
MAX_ROUNDS: Final = 16
"""Exchanges with the driver until somebody else gets a turn."""


GIVES: Final[Mapping[str, Callable[..., Interface]]] = {
    "network": Network, "listener": Listener, "dialer": Dialer, "datagrams": Datagrams, "pinger": Pinger,
    "resolver": Resolver,
}  # fmt: skip
"""What a client is given, by the policy's word for it."""
POLL, POLLS = 5_000, 20
"""Ticks after which a server that is to retire looks again whether a packet waits for a neighbour's address, or for the
rest of it; how often, at most. Then it is lost, as packets may be.
"""


def served(text: str) -> Mapping[int, Serves]:
    """What each client is given by a policy. Raises PolicyError."""
    return {client.channel: Serves(GIVES[client.gives]) for client in read_policy(text).clients}


class Program:
    """The server."""

    uses: ClassVar[Uses] = Uses(
        asks={BASE_ENDPOINT_CAP + LINK: Asks(Link)},
        serves=ByTable("policy", served),
        signals={METRONOME: Role.METRONOME, SUPERVISOR: Role.SUPERVISOR, UPDATE: Role.UPDATE},
        required=frozenset({METRONOME}),
        needs=frozenset({"policy", "packets"}),
    )

    def __init__(self) -> None:
        self.rules: Any = None
        self.node: Any = None
        self.cable: Any = None
        self.inbox: Any = None
        self.service: Any = None
        self.listening: Any = None
        self.objects: Any = None
        self.handover: Any = None
        self.clients: dict[int, Any] = {}
        self.accounts: dict[int, Account] = {}
        self.regions: dict[int, SharedRegion] = {}
        self.callers: Any = None

    async def init(self, pd: PD) -> None:
        """Open the card, or go on where another program was; and serve."""
        rules = self.rules = read_policy((await read(policy, policy_size)).rstrip(b"\0").decode())
        check(rules)
        link = neighbour(Link, pd, Connection(pd.sys), BASE_ENDPOINT_CAP + LINK)
        self.cable = Cable(link, SharedRegion(packets, packets_size), complain=complaints_of(pd, SUPERVISOR, 0))
        self.clients = {client.channel: client for client in rules.clients}
        self.accounts = {
            client.channel: Account(client.streams, SHARED_ANSWER if client.shared else INLINE)
            for client in rules.clients
        }
        shared = [client.channel for client in rules.clients if client.shared]
        self.regions = {
            channel: SharedRegion(regions + (channel - CLIENTS.start) * REGION, REGION) for channel in shared
        }
        self.callers = Callers[Begun](pd)
        slots = SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)
        if not state:
            pd.spare_replies.extend(range(first_reply, first_reply + reply_count))
            await self._begin(pd, Inbox(pd.sys, slots))
        else:
            await self._begin_or_go_on(pd, slots)
        await self._turn()

    async def _begin(self, pd: PD, inbox: Inbox) -> None:
        """Begin with nothing."""
        await self.cable.open()
        await self._open(pd, inbox, self._stack)

    async def _begin_or_go_on(self, pd: PD, slots: SlotAllocator) -> None:
        lasting = LastingSlots(pd.sys, HELD_CNODE, HELD_ADDRESS, HELD_SLOTS)
        inbox = LastingInbox(pd.sys, slots, lasting)
        replies = LastingReplies(pd, HELD_CNODE, HELD_ADDRESS, HELD_REPLIES, REPLY_MEMORY)
        waiting: list[KeptWaiting] = []

        async def take_up(kept: KeptNetwork) -> None:
            waiting.extend(kept.waiting)
            replies.use([each.request.reply for each in waiting])
            take_up_cable(kept.cable, self.cable)
            await self._open(pd, inbox, lambda now: self._stack(now, kept.stack))
            self.objects = Objects(self.node, self.accounts, self.listening, self.service, lasting)
            self.objects.take_up(kept)

        await replies.open()
        self.handover = Handover(pd, KeptNetwork, SharedRegion(state, state_size), SUPERVISOR, UPDATE)
        if await self.handover.go_on(take_up):
            await self._go_on(waiting)
        else:
            await replies.abandon()
            replies.use([])
            await self._begin(pd, inbox)
            self.objects = Objects(self.node, self.accounts, self.listening, self.service, lasting)

    def _stack(self, now: Callable[[], int], kept: KeptStack | None = None) -> Stack:
        """A new stack, or one that goes on where another was. Raises ValueError if it cannot."""
        rules, cable = self.rules, self.cable
        stack = Stack(
            cable.mac, now, cable.send, address=rules.address, gateway=rules.gateway, seed=rules.seed,
            announces=kept is None,
        )  # fmt: skip
        if kept is not None:
            take_up_stack(stack, kept)
        return stack

    async def _open(self, pd: PD, inbox: Inbox, make: Callable[[Callable[[], int]], Stack]) -> None:
        self.inbox = inbox
        # No two lives draw the same numbers.
        chance = Random(self.rules.seed + (pd.life - 1 << 64))
        self.node = Node(pd.sys, inbox, self.rules.nameserver, chance, await pd.clock(), make)
        self.listening = Listening(self.node)
        self.service = self.listening.service = Service(
            pd, roots=self.root, endpoint=ENDPOINT, inbox=inbox, regions=self.regions, limit=OBJECTS
        )
        await self.service.open()

    async def _go_on(self, waiting: list[KeptWaiting]) -> None:
        """Take up the requests that wait."""
        for each in waiting:
            self.node.begun = begun = each.begun
            await self.callers.resume(self.service, each.request, begun)
        await self._turn(is_news=True)
        if self.cable.is_refused:
            # The driver has other slots than was written down.
            await self.cable.open()

    def root(self, session: int) -> Interface | None:
        """What a client's own cap leads to."""
        if self.objects is not None and session in self.objects.roots:
            return cast(Interface, self.objects.roots.pop(session))
        client = self.clients.get(session)
        return None if client is None else given(client, self.node, self.accounts[session], self.listening)

    async def _look_at_clock(self, pd: PD) -> None:
        self.node.ticks = await pd.clock()

    async def notified(self, pd: PD, ch: int) -> None:
        """A beat, or the driver has something, or the supervisor wants a sign of life, or another program here."""
        if ch == SUPERVISOR:
            await pd.notify(SUPERVISOR)
            return
        await self._look_at_clock(pd)
        await self._turn(is_news=ch == LINK)
        if ch == UPDATE:
            await self._give_way(pd)

    async def _give_way(self, pd: PD) -> None:
        if self.handover is None:
            await decline(pd, "there is no memory that outlives the connections")
            return
        for _ in range(POLLS):
            uses = self.node.stack.statistics()
            if not uses["arp_queue"].used and not uses["reassdata"].used:
                break
            await pd.compute(POLL)
            await self._look_at_clock(pd)
            await self._turn(is_news=True)
        waiting = [
            KeptWaiting.of(keep_request(reply, message), begun) for reply, message, begun in self.callers.waiting()
        ]
        kept = self.objects.keep(self.cable, waiting)
        try:
            self._stack(lambda: self.node.now, kept.stack).close()
        except ValueError as problem:
            await decline(pd, problem)
        else:
            await self.handover.give_way(kept)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        return await self.attend(pd, lambda: self.callers.serve(self.service, msg, self.node.begun))

    async def attend(self, pd: PD, work: Callable[[], Awaitable[Any]]) -> Any:
        """Let a request begin, or go on: the stack is told the time before, and what is to be sent is sent after it."""
        await self._look_at_clock(pd)
        self.node.begun = Begun()
        answer = await work()
        await self._turn()
        return answer

    async def _turn(self, *, is_news: bool = False) -> None:
        """Let the stack do what is due, carry frames both ways, and let requests go on that waited."""
        node, cable = self.node, self.cable
        node.stack.poll()
        node.ring_alarms()
        cable.is_refused = False
        for _ in range(MAX_ROUNDS):
            node.take_news()
            await self.service.run_ready()
            if not is_news and not cable.has_work:
                break
            frames, is_news = await cable.exchange()
            for frame in frames:
                node.stack.input(frame)
        await node.tell()


def check(rules: Policy) -> None:
    """Whether the server can do what the policy says. Raises PolicyError."""
    watchers = sum(client.streams + LISTENERS + DATAGRAMS for client in rules.clients)
    if watchers > END_SLOT - FIRST_SLOT - SPARE_SLOTS:
        raise PolicyError(f"the clients may watch {watchers} streams and ports, and there are not so many slots")
