"""Attacks on the network server by one of its clients; the number of the attack is in the report's first word.

Each counts what was refused, what was done, and what was neither. An attack succeeds if others are worse off for it.
"""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import FIRST_LABEL, Failure, QuotaExceeded, TimedOut
from capkernel.protocols.interface import Cap
from capkernel.protocols.network import INLINE, Datagrams, Dialer, Network, Stream
from capkernel.user import stubs
from capkernel.user.allocators import SlotAllocator
from capkernel.user.errors import KernelError
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, ENDPOINT_BADGE, PD, PD_CNODE_BITS
from capkernel.user.messages import SPILLED, SharedRegion
from capkernel.user.syscalls import Message

region: int = 0
region_size: int = 0x1_0000
report: int = 0

NETWORK, DATAGRAMS, ECHO, WEB = 0, 1, 2, 3
"""Channels."""
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 302, 500
ATTACK, DONE, REFUSED, ALLOWED, ODD = range(0, 40, 8)
"""Offsets of the words in the report."""
MANY = 600
DATAGRAMS_SENT = 1500
LEFT = 100
CHUNK = 16_000
CALL_RIGHTS = 1 | 4 | 8


class Program:
    """The attacker."""

    def __init__(self) -> None:
        self.counts = {REFUSED: 0, ALLOWED: 0, ODD: 0}
        self.pd: Any = None
        self.inbox: Any = None
        self.small: Any = None
        self.bulk: Any = None

    async def init(self, pd: PD) -> None:
        """Attack."""
        attacks = [
            self.connections,
            self.caps,
            self.datagrams,
            self.never_reads,
            self.forges,
            self.spills,
            self.watches,
            self.leaves,
        ]
        self.pd = pd
        self.inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.small = Connection(pd.sys, self.inbox)
        self.bulk = Connection(pd.sys, self.inbox, SharedRegion(region, region_size))
        await attacks[await pd.load(report + ATTACK)]()
        for offset, count in self.counts.items():
            await pd.store(report + offset, count)
        await pd.store(report + DONE, 1)

    async def tried(self, attempt: Awaitable[Any], expected: type[Failure] = Failure) -> Any:
        """Count what comes of it; None if it was refused."""
        try:
            result = await attempt
        except expected:
            self.counts[REFUSED] += 1
            return None
        except Failure:
            self.counts[ODD] += 1
            return None
        self.counts[ALLOWED] += 1
        return result

    async def connections(self) -> None:
        """As many connections as it gets, and more."""
        dialer = connect(Dialer, self.bulk, BASE_ENDPOINT_CAP + ECHO)
        for _ in range(60):
            await self.tried(dialer.connect(30_000), QuotaExceeded)

    async def caps(self) -> None:
        """As many caps as it gets, of each kind; its own slots are emptied, so it is the server who must say no."""
        network = connect(Network, self.small, BASE_ENDPOINT_CAP + NETWORK)
        makers: list[Callable[[], Awaitable[Any]]] = [
            lambda: network.dialer("10.0.2.2", 1), network.derive, network.resolver,
            lambda: network.listener(1000 + self.counts[ALLOWED]), lambda: network.datagrams(0, "10.0.2.2", 1),
        ]  # fmt: skip
        for number in range(MANY):
            cap = await self.tried(makers[number % len(makers)](), QuotaExceeded)
            if cap is not None:
                await cap.forget()

    async def datagrams(self) -> None:
        """More datagrams than anybody wants; answers are not read."""
        socket = connect(Datagrams, self.small, BASE_ENDPOINT_CAP + DATAGRAMS)
        for number in range(DATAGRAMS_SENT):
            await self.tried(socket.send(bytes(number % 700)))

    async def never_reads(self) -> None:
        """Sends to somebody who sends everything back, on several connections, and reads nothing."""
        dialer = connect(Dialer, self.bulk, BASE_ENDPOINT_CAP + ECHO)
        for _ in range(6):
            stream = await dialer.connect(30_000)
            while await self.tried(stream.write(bytes(CHUNK), 500), TimedOut) is not None:
                pass

    async def forges(self) -> None:
        """Badges of others, and objects of others by any number; through its own caps and through all that it has."""
        sys = self.pd.sys
        slot = self.inbox.slots.alloc()
        for badge in range(ENDPOINT_BADGE | 2, ENDPOINT_BADGE | 8):
            try:
                await stubs.cnode_mint(
                    sys, OWN_CNODE, dest_index=slot, dest_depth=64, src_root=OWN_CNODE,
                    src_index=BASE_ENDPOINT_CAP + ECHO, src_depth=64, rights=CALL_RIGHTS, badge=badge,
                )  # fmt: skip
            except KernelError:
                self.counts[REFUSED] += 1
            else:
                self.counts[ALLOWED] += 1
        for address in [*range(BASE_ENDPOINT_CAP + 4, 138), *range(302, 1 << PD_CNODE_BITS)]:
            await self.tried(connect(Stream, self.small, address).peer())
        for channel in range(4):
            await self.tried(connect(Stream, self.small, BASE_ENDPOINT_CAP + channel).peer())

    async def spills(self) -> None:
        """Requests that claim to lie in shared memory, where there is noise, or outside of it."""
        chance = Random(3)
        places = (0, 8, 15, region_size - 8, region_size, 1 << 40, (1 << 64) - 8)
        for number in range(200):
            await self.pd.write(region, chance.randbytes(256))
            label = Dialer.number << 8 | chance.randrange(1, 4) if number % 2 else Stream.number << 8 | 2
            words = (chance.choice(places), chance.choice(places))
            self.count_reply(await self.pd.sys.call(BASE_ENDPOINT_CAP + ECHO, Message(label | SPILLED, words)))

    def count_reply(self, reply: Message) -> None:
        """Whether a reply is a result, a failure, or neither."""
        label = reply.label & ~SPILLED
        kind = ALLOWED if not label else REFUSED if FIRST_LABEL < label < FIRST_LABEL + 64 else ODD
        self.counts[kind] += 1

    async def watches(self) -> None:
        """Caps to be signalled that are no notifications: its CNode, the server itself, nothing."""
        network = connect(Network, self.small, BASE_ENDPOINT_CAP + NETWORK)
        derived = await network.derive()
        for port, cap in enumerate((OWN_CNODE, BASE_ENDPOINT_CAP + NETWORK, 499), 7000):
            listener = await derived.listener(port)
            await self.tried(listener.watch(Cap(cap)))
            await self.tried(listener.accept(20), TimedOut)
            await listener.drop()

    async def leaves(self) -> None:
        """Connections to somebody who takes nothing, filled and closed at once, again and again."""
        dialer = connect(Dialer, self.bulk, BASE_ENDPOINT_CAP + WEB)
        for _ in range(LEFT):
            stream = await self.tried(dialer.connect(30_000))
            if stream is None:
                continue
            try:
                while True:
                    await stream.write(bytes(INLINE), 0)
            except TimedOut:
                await stream.drop()
