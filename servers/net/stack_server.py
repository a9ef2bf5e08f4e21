"""The network server: lwIP on a card's frames, given out as caps to streams, listeners, datagrams, pings and names.

It holds no device: it maps the packet memory that the card's driver passes on, and calls the driver. Time comes from
the metronome's beats. Which client gets which cap at first is in its policy (``policy``).

When it dies its connections are over. A request that waited is answered with ``ServerDied``; streams, listeners and all
else that was opened in its former life answer ``Gone``, and nobody signals a notification for them any more. A client's
own cap leads to the new life: what it needs it opens again. Peers get a reset when they next send something.
"""

from collections.abc import Callable
from random import Random
from typing import Any, Final

from capkernel.protocols.cable import Cable
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.interface import Interface
from capkernel.protocols.link import Link
from capkernel.protocols.network import INLINE
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import read
from capkernel.user.syscalls import Message
from servers.net.lwip import WHY_NOT as WHY_NOT
from servers.net.lwip.stack import Stack
from servers.net.node import DATAGRAMS, LISTENERS, Account, Node
from servers.net.policy import Policy, PolicyError, read_policy
from servers.net.sockets import Listening, given

policy: int = 0
policy_size: int = 0x1000
packets: int = 0
packets_size: int = 0x2_0000
regions: int = 0
"""Where the memory begins that is shared with clients: ``REGION`` bytes for each channel from the first on."""
first_reply: int = 302
reply_count: int = 16

LINK, METRONOME, CLIENTS, SUPERVISOR = 0, 1, range(2, 14), 20
"""Channels."""
REGION: Final = 0x1_0000
SHARED_ANSWER: Final = 0x8000
"""Bytes in one answer to a client with which memory is shared."""
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 330, 510
SPARE_SLOTS: Final = 4
"""Slots for what is not a client's notification."""
OBJECTS: Final = 128
"""Caps that a session may have open."""
MAX_ROUNDS: Final = 16
"""Exchanges with the driver until somebody else gets a turn."""


class Program:
    """The server."""

    def __init__(self) -> None:
        self.node: Any = None
        self.cable: Any = None
        self.service: Any = None
        self.listening: Any = None
        self.clients: dict[int, Any] = {}
        self.accounts: dict[int, Account] = {}

    async def init(self, pd: PD) -> None:
        """Open the card, and serve."""
        pd.spare_replies.extend(range(first_reply, first_reply + reply_count))
        rules = read_policy((await read(policy, policy_size)).rstrip(b"\0").decode())
        check(rules)
        link = connect(Link, Connection(pd.sys), BASE_ENDPOINT_CAP + LINK)
        self.cable = Cable(link, SharedRegion(packets, packets_size))
        await self.cable.open()
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))

        def make(now: Callable[[], int]) -> Stack:
            mac, send = self.cable.mac, self.cable.send
            return Stack(mac, now, send, address=rules.address, gateway=rules.gateway, seed=rules.seed)

        self.node = Node(pd.sys, inbox, rules.nameserver, Random(rules.seed), await pd.clock(), make)
        self.listening = Listening(self.node)
        self.clients = {client.channel: client for client in rules.clients}
        self.accounts = {
            client.channel: Account(client.streams, SHARED_ANSWER if client.shared else INLINE)
            for client in rules.clients
        }
        shared = [client.channel for client in rules.clients if client.shared]
        at = {channel: SharedRegion(regions + (channel - CLIENTS.start) * REGION, REGION) for channel in shared}
        self.service = self.listening.service = Service(
            pd, roots=self._root, endpoint=ENDPOINT, inbox=inbox, regions=at, limit=OBJECTS
        )
        await self.service.open()
        await self._turn()

    def _root(self, session: int) -> Interface | None:
        client = self.clients.get(session)
        return None if client is None else given(client, self.node, self.accounts[session], self.listening)

    async def _look_at_clock(self, pd: PD) -> None:
        self.node.ticks = await pd.clock()

    async def notified(self, pd: PD, ch: int) -> None:
        """A beat, or the driver has something, or the supervisor wants a sign of life."""
        if ch == SUPERVISOR:
            await pd.notify(SUPERVISOR)
            return
        await self._look_at_clock(pd)
        await self._turn(is_news=ch == LINK)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """A client asks."""
        await self._look_at_clock(pd)
        answer = await self.service.protected(msg)
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
    wrong = [client.channel for client in rules.clients if client.channel not in CLIENTS]
    if wrong:
        raise PolicyError(f"channel {wrong[0]} is not a client's; those are {CLIENTS.start} to {CLIENTS.stop - 1}")
    watchers = sum(client.streams + LISTENERS + DATAGRAMS for client in rules.clients)
    if watchers > END_SLOT - FIRST_SLOT - SPARE_SLOTS:
        raise PolicyError(f"the clients may watch {watchers} streams and ports, and there are not so many slots")
