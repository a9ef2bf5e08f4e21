"""A server that looks whether pulses in its client's ring may be sent, and then reads them once more to take them.

What was looked at needs no further look: so whoever changes a pulse in between poses as the system.
"""

from collections.abc import Mapping

from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from servers.qnx.channel import Channel, Peer
from servers.qnx.clients import counter
from servers.qnx.pulses import Pulse, PulseRing


class LookingChannel(Channel):
    """A channel that believes what its rings have looked at."""

    def __init__(self, pd: PD, peers: Mapping[int, Peer]) -> None:
        super().__init__(pd, peers)
        regions = {number: peer.ring for number, peer in peers.items() if peer.ring is not None}
        self._rings = {number: LookingRing(pd, region, self) for number, region in regions.items()}

    def may_send(self, pulse: Pulse) -> bool:
        """Whether it is one that its sender may send."""
        return pulse.code >= 0 and pulse.priority <= self.peers[pulse.connection].priority

    def _accept(self, pulse: Pulse) -> None:
        self.pulses.put(pulse)


class LookingRing(PulseRing):
    """A ring of which nothing is taken if something in it may not be sent."""

    def __init__(self, pd: PD, region: SharedRegion, channel: LookingChannel) -> None:
        super().__init__(pd, region)
        self.channel = channel

    async def take(self, connection: int) -> list[Pulse]:
        """What is there, if all of it may be sent."""
        waiting = await self.waiting()
        seen = [await self._at(number, connection) for number in waiting]
        refused = sum(not self.channel.may_send(pulse) for pulse in seen)
        self.channel.refused += refused
        if refused:
            await self.skip(waiting)
            return []
        return await super().take(connection)


class Program(counter.Program):
    """The server."""

    channel = LookingChannel
