"""Uses the network without a pause while its servers are replaced, so that a byte that is lost or doubled shows.

Each round sends bytes through a connection that is there for ever, and through one of its own, and compares what comes
back; sends a datagram; pings; asks for a name. A connection that a peer resets, a byte that is missing, a request that
fails is counted. Two caps are tried again and again: one that leads to nothing any more, and one for less than all.
"""

from functools import partial
from random import Random
from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Gone, Malformed
from capkernel.protocols.network import Datagrams, Dialer, Network, Pinger, Resolver, Stream
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from servers.clients.journal_keeper import TAKEN
from servers.clients.journal_keeper import Program as Keeper
from servers.clients.publisher import INDEX, NOTE, big
from servers.net.far_host import NAME, FarHost

region: int = 0
region_size: int = 0x1_0000

PINGER, RESOLVER, ECHO, DATAGRAMS = range(4)
"""Channels."""
SIZES = (10, 700, 5_000, 30_000)
"""Bytes that are sent in one piece, in turn."""
CHUNK, PATIENCE = 16_000, 60_000
PAYLOAD = b"capkernel" * 10
BROWSERS = 3


class Program(Keeper):
    """The client."""

    def __init__(self) -> None:
        super().__init__()
        self.use: dict[str, Any] = {}

    async def _begin(self, pd: PD, connection: Connection) -> None:
        bulk = Connection(pd.sys, connection.inbox, SharedRegion(region, region_size))
        self.use = {
            "pinger": connect(Pinger, connection, BASE_ENDPOINT_CAP + PINGER),
            "resolver": connect(Resolver, connection, BASE_ENDPOINT_CAP + RESOLVER),
            "echo": connect(Dialer, bulk, BASE_ENDPOINT_CAP + ECHO),
            "datagrams": connect(Datagrams, connection, BASE_ENDPOINT_CAP + DATAGRAMS),
            "network": connect(Network, connection, BASE_ENDPOINT_CAP + ECHO),
        }
        self.use["stream"] = await self.use["echo"].connect(PATIENCE)
        self.former = await self.use["echo"].connect(PATIENCE)
        self.former.is_owned = False
        await self.former.drop()

    async def _round(self, pd: PD, number: int) -> None:
        data = Random(number).randbytes(SIZES[number % len(SIZES)])
        await self._echoed(pd, self.use["stream"], data)
        stream = await self._ask(pd, lambda: self.use["echo"].connect(PATIENCE))
        if stream is not None:
            await self._echoed(pd, stream, data[::-1])
            await self._ask(pd, stream.drop)
        await self._ask(pd, lambda: self.use["datagrams"].send(data[:700]))
        self._check(await self._ask(pd, lambda: self.use["datagrams"].receive(PATIENCE)) == data[:700])
        answered = await self._ask(pd, lambda: self.use["pinger"].ping(PAYLOAD, PATIENCE))
        self._check(answered is not None and answered.is_same)
        self._check(await self._ask(pd, lambda: self.use["resolver"].resolve(NAME)) == ["10.0.2.2"])

    async def _echoed(self, pd: PD, stream: Stream, data: bytes) -> None:
        """Send it, and compare what comes back."""
        back, rest = bytearray(), data
        while rest:
            sent = await self._ask(pd, partial(stream.write, rest[:CHUNK], PATIENCE))
            if not sent:
                break
            rest = rest[sent:]
        while len(back) < len(data):
            piece = await self._ask(pd, partial(stream.read, CHUNK, PATIENCE))
            if not piece:
                break
            back += piece
        self._check(back == data)

    async def _ticket(self, pd: PD, tickets: Any) -> None:
        """Its tickets are the numbers of rounds."""
        self.counts[TAKEN] += 1

    async def _try(self, pd: PD) -> None:
        await self._must_fail(pd, lambda: self.former.read(1, 0), Gone)
        await self._must_fail(pd, lambda: self.use["network"].dialer("10.0.2.2", 22), Malformed)

    async def _look(self, pd: PD, number: int) -> None:
        """The connection that was there for ever still is."""
        await self._echoed(pd, self.use["stream"], b"the end")


def far_host() -> FarHost:
    """The peer at the other end of its machine's cable: its browsers know what is published (``publisher``)."""
    return FarHost({"/": INDEX, "/big.bin": big(), "/notes/note.txt": NOTE}, BROWSERS)
