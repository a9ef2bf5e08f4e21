"""A server whose work takes a while, at the priority of whom it serves."""

from typing import Final

from capkernel.user.loop import PD
from servers.qnx.channel import Channel, Peer, Request
from servers.qnx.priority import ROOT_SHIFT, OwnPriority

HIGH, LOW = 2, 3
PRIORITIES: Final = {HIGH: 150, LOW: 50}
OWN_TCB, CEILING = 5, 200
WORK: Final = 30_000
"""Ticks."""


class Program:
    """The server."""

    boosts: int = 0

    async def own_priority(self, pd: PD) -> OwnPriority | None:
        """That of the client, and it can be raised while it works."""
        return OwnPriority(pd.sys, OWN_TCB << ROOT_SHIFT, CEILING, boosts=self.boosts, priorities=PRIORITIES)

    async def init(self, pd: PD) -> None:
        """Receive for ever."""
        peers = {channel: Peer(priority=priority) for channel, priority in PRIORITIES.items()}
        channel = Channel(pd, peers, own_priority=await self.own_priority(pd))
        while True:
            got = await channel.receive()
            if isinstance(got, Request):
                await pd.compute(WORK)
                await got.reply()
