"""Uses the caps that a ``Network`` makes; each check that holds sets a bit in the report's second word."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import (
    AlreadyExists,
    Failure,
    Gone,
    Malformed,
    NotFound,
    QuotaExceeded,
    Refused,
    TimedOut,
)
from capkernel.protocols.network import Datagrams, Dialer, Network
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion

region: int = 0
region_size: int = 0x1_0000
report: int = 0

OPERATOR_LIKE, UDP, ECHO = 0, 1, 2
PATIENCE = 20_000


class Program:
    """The client."""

    def __init__(self) -> None:
        self.pd: Any = None
        self.held = 0
        self.number = 0

    async def init(self, pd: PD) -> None:
        """One check after the other."""
        self.pd = pd
        inbox = Inbox(pd.sys, SlotAllocator(301, 302, 511))
        connection = Connection(pd.sys, inbox)
        network = connect(Network, connection, BASE_ENDPOINT_CAP + OPERATOR_LIKE)
        try:
            await self.datagrams(connect(Datagrams, connection, BASE_ENDPOINT_CAP + UDP), network)
            bulk = Connection(pd.sys, inbox, SharedRegion(region, region_size))
            await self.streams(connect(Dialer, bulk, BASE_ENDPOINT_CAP + ECHO))
            await self.listeners(network)
            await self.wrong_arguments(network)
        except Failure as failure:
            await pd.print(f"check {self.number}: {type(failure).__name__}: {failure}\n")
        await pd.store(report, 1)

    async def check(self, holds: object) -> None:
        """Note whether something is so."""
        if holds:
            self.held |= 1 << self.number
        else:
            await self.pd.print(f"check {self.number} does not hold\n")
        self.number += 1
        await self.pd.store(report + 8, self.held)

    async def fails(self, attempt: Any, expected: type[Failure]) -> None:
        """Note whether something is refused as it should be."""
        try:
            await attempt
        except expected:
            await self.check(True)
        else:
            await self.check(False)

    async def datagrams(self, socket: Datagrams, network: Network) -> None:
        """0 to 3."""
        await socket.send(b"one")
        await self.check(await socket.receive(PATIENCE) == b"eno")
        await self.fails(socket.receive(0), TimedOut)
        other = await network.datagrams(5353, "10.0.2.2", 10010)
        await other.send(b"from elsewhere")
        await self.fails(other.receive(100), TimedOut)
        await self.fails(network.datagrams(5353, "10.0.2.2", 1), AlreadyExists)

    async def streams(self, dialer: Dialer) -> None:
        """4 to 9."""
        stream = await dialer.connect(PATIENCE)
        await self.check((await stream.peer()).port == 10007)
        await self.fails(stream.read(10, 0), TimedOut)
        await stream.write(b"the end", PATIENCE)
        await stream.shutdown()
        got = b""
        while piece := await stream.read(3, PATIENCE):
            got += piece
        await self.check(got == b"the end")
        await self.fails(stream.write(b"more", PATIENCE), Gone)
        lent = await stream.derive()
        await stream.revoke()
        await self.fails(lent.peer(), Gone)
        await stream.drop()
        await self.fails(stream.read(1, 0), Gone)

    async def listeners(self, network: Network) -> None:
        """10 to 15. The test connects to port 8080 from outside, and says a word."""
        listener = await network.listener(8080)
        lent = await listener.derive()
        await self.fails(lent.accept(0), TimedOut)
        await self.pd.store(report + 16, 1)
        stream = await lent.accept(PATIENCE)
        await self.check(await stream.read(100, PATIENCE) == b"word")
        await self.fails(network.listener(8080), AlreadyExists)
        await listener.revoke()
        await self.fails(stream.write(b"x", 0), Gone)
        await self.fails(lent.accept(0), Gone)
        await self.check(await listener.port() == 8080)
        await listener.drop()

    async def wrong_arguments(self, network: Network) -> None:
        """16 to 26."""
        for address in ("10.0.2", "255.255.255.255", "224.0.0.1", "0.0.0.0", "::1", "x" * 50):
            await self.fails(network.dialer(address, 80), Malformed)
        await self.fails(network.listener(0), Malformed)
        await self.fails(network.withdraw(4321), NotFound)
        refused = await network.dialer("10.0.2.2", 9)
        await self.fails(refused.connect(PATIENCE), Refused)
        nobody = await network.dialer("10.0.2.77", 9)
        await self.fails(nobody.connect(50), TimedOut)
        for _ in range(4):
            await network.listener(9000 + self.number)
            self.number += 1
        await self.fails(network.listener(9999), QuotaExceeded)
