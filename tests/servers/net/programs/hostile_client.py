"""Sends what a test has prepared to a cap of each kind that the network server gives out."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import FIRST_LABEL, Failure
from capkernel.protocols.network import Dialer, Network
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SPILLED
from tests.servers.net.hostile import MESSAGES

region: int = 0
report: int = 0

NETWORK, ECHO = 0, 2
SENT, DONE, ODD = 0, 8, 16


class Program:
    """The attacker."""

    async def init(self, pd: PD) -> None:
        """Send everything."""
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(301, 302, 511)))
        caps: list[int] = []
        odd = 0
        for number, (which, message) in enumerate(MESSAGES):
            if number % 20 == 0:
                caps = await self.opened(connection) or caps
            reply = await pd.sys.call(caps[which % len(caps)], message)
            label = reply.label & ~SPILLED
            odd += bool(label) and not FIRST_LABEL < label < FIRST_LABEL + 64
            await pd.store(report + SENT, number + 1)
        await pd.store(report + ODD, odd)
        await pd.store(report + DONE, 1)

    async def opened(self, connection: Connection) -> list[int]:
        """A cap of each kind."""
        network = connect(Network, connection, BASE_ENDPOINT_CAP + NETWORK)
        dialer = connect(Dialer, connection, BASE_ENDPOINT_CAP + ECHO)
        found: list[Any] = [network, dialer]
        try:
            await network.revoke()
            await dialer.revoke()
            found.append(await dialer.connect(1000))
            found += [await network.listener(8080), await network.datagrams(0, "10.0.2.2", 10009)]
            found += [await network.pinger("10.0.2.2"), await network.resolver()]
        except Failure:
            return []
        return [each.cap for each in found]
