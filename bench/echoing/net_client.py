"""Sends 64 bytes to the echo server and waits for them, again and again; how often is in the report's first word."""

from capkernel.protocols.client import Connection
from capkernel.protocols.network import Dialer
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from servers.neighbours import neighbour
from servers.net.http_client import send_all

region: int = 0
report: int = 0

ECHO = 2
SIZE = 64
PATIENCE = 60_000


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Connect, and then for ever."""
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(301, 302, 500)))
        stream = await neighbour(Dialer, pd, connection, BASE_ENDPOINT_CAP + ECHO).connect(PATIENCE)
        rounds = 0
        while True:
            await send_all(stream, bytes(SIZE))
            back = 0
            while back < SIZE:
                back += len(await stream.read(SIZE, PATIENCE))
            rounds += 1
            await pd.store(report, rounds)
