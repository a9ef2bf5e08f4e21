"""Pings, asks for a name, has bytes sent back to it over TCP, fetches a page, and tries to get elsewhere.

It holds four caps: to ping one address, to ask the name server, to connect to two ports. What came of it is in the
report.
"""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from random import Random
from typing import Any, ClassVar

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure, Gone, Malformed, NotPermitted, TimedOut
from capkernel.protocols.network import Dialer, Network, Pinger, Resolver
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from servers.neighbours import Asks, Uses
from servers.net.closing import let_go
from servers.net.http_client import fetch, send_all

region: int = 0
region_size: int = 0x1_0000
report: int = 0

PINGER, RESOLVER, ECHO, WEB, NOTHING = 0, 1, 2, 3, 9
"""Channels; there is nothing at the last."""
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
DONE, ERRORS, PING_US, ADDRESSES, ECHOED, PAGE, REFUSED, DIGEST = range(0, 64, 8)
"""Offsets of the words in the report: 1 at the end; what failed; a ping's microseconds; addresses of a name; bytes that
came back as they were sent; bytes of the page; tries to get elsewhere that were refused; the page's hash (32 bytes).
"""
NAME, ELSEWHERE = "files.test", "elsewhere.test"
ECHO_BYTES = 100_000
CHUNK = 16_000
PATIENCE = 30_000
PINGS, PING_PATIENCE = 5, 1000


class Program:
    """The client."""

    uses: ClassVar[Uses] = Uses(
        asks={
            BASE_ENDPOINT_CAP + PINGER: Asks(Pinger), BASE_ENDPOINT_CAP + RESOLVER: Asks(Resolver),
            BASE_ENDPOINT_CAP + ECHO: Asks(Dialer), BASE_ENDPOINT_CAP + WEB: Asks(Dialer),
        },
        needs=frozenset({"report"}), shares=frozenset({"region"}),
    )  # fmt: skip

    def __init__(self) -> None:
        self.errors = 0

    async def init(self, pd: PD) -> None:
        """One after the other."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox)
        bulk = Connection(pd.sys, inbox, SharedRegion(region, region_size))
        pinger = connect(Pinger, connection, BASE_ENDPOINT_CAP + PINGER)
        resolver = connect(Resolver, connection, BASE_ENDPOINT_CAP + RESOLVER)
        echo = connect(Dialer, bulk, BASE_ENDPOINT_CAP + ECHO)
        web = connect(Dialer, connection, BASE_ENDPOINT_CAP + WEB)
        steps: list[tuple[int, Callable[[], Awaitable[int]]]] = [
            (PING_US, lambda: _ping(pinger)),
            (ADDRESSES, lambda: _count(resolver.resolve(NAME))),
            (ECHOED, lambda: _echo(echo)),
            (PAGE, lambda: self._page(pd, web, resolver)),
            (REFUSED, lambda: _tries(connection, web, resolver)),
        ]
        for word, step in steps:
            try:
                await pd.store(report + word, await step())
            except Failure as failure:
                self.errors += 1
                await pd.print(f"{pd.name}: {type(failure).__name__}: {failure}\n")
        await pd.store(report + ERRORS, self.errors)
        await pd.store(report + DONE, 1)

    async def _page(self, pd: PD, web: Dialer, resolver: Resolver) -> int:
        target = await web.target()
        page = await fetch(f"http://{NAME}:{target.port}/page", web, resolver)
        await pd.write(report + DIGEST, sha256(page.body).digest())
        return len(page.body) if page.status == 200 else 0


async def _ping(pinger: Pinger) -> int:
    """Microseconds until the answer. A ping may get lost like any frame, so it is sent a few times."""
    for _ in range(PINGS):
        try:
            answered = await pinger.ping(b"capkernel" * 10, PING_PATIENCE)
        except TimedOut:
            continue
        return max(1, answered.after_us) if answered.is_same else 0
    return 0


async def _count(names: Awaitable[list[str]]) -> int:
    return len(await names)


async def _echo(dialer: Dialer) -> int:
    """Bytes that came back."""
    data, back = Random(1).randbytes(ECHO_BYTES), bytearray()
    stream = await dialer.connect(PATIENCE)
    for start in range(0, ECHO_BYTES, CHUNK):
        part = data[start : start + CHUNK]
        await send_all(stream, part)
        while len(back) < start + len(part) and (piece := await stream.read(CHUNK, PATIENCE)):
            back += piece
    await let_go(stream)
    return sum(one == other for one, other in zip(back, data, strict=False))


async def _tries(connection: Connection, web: Dialer, resolver: Resolver) -> int:
    """Tries that were refused: a page elsewhere, all of the network through a narrow cap, a cap that is not there."""
    target: Any = web
    network = connect(Network, connection, target.cap)
    nothing = connect(Dialer, connection, BASE_ENDPOINT_CAP + NOTHING)
    address = (await web.target()).address
    tries: list[tuple[type[Failure], Callable[[], Awaitable[Any]]]] = [
        (NotPermitted, lambda: fetch(f"http://{ELSEWHERE}/page", web, resolver)),
        (Malformed, lambda: network.dialer(address, 22)),
        (Gone, lambda: nothing.connect(0)),
    ]
    refused = 0
    for expected, attempt in tries:
        try:
            await attempt()
        except expected:
            refused += 1
    return refused
