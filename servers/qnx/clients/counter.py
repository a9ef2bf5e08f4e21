"""A server that counts the pulses of its client, and says how many there were, and of which kinds, when it is asked."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from servers.qnx.channel import Channel, Peer, Request
from servers.qnx.errors import Errno
from servers.qnx.pulses import Pulse

CLIENT: Final = 2
PRIORITY: Final = 50
"""The client's: the most that its pulses may have."""
TOTALS: Final = 1
"""The request. Its answer: pulses, those of them with a code of the system's, those with a priority above the client's,
and how many were refused.
"""


class Program:
    """The server. ``ring`` is its client's."""

    ring: int = 0
    ring_size: int = 0x1000
    channel: Callable[[PD, Mapping[int, Peer]], Channel] = Channel

    async def init(self, pd: PD) -> None:
        """Receive for ever."""
        peers = {CLIENT: Peer(priority=PRIORITY, ring=SharedRegion(self.ring, self.ring_size))}
        channel: Any = type(self).channel(pd, peers)
        count = system = higher = 0
        while True:
            match await channel.receive():
                case Pulse(code=code, priority=priority):
                    count += 1
                    system += code < 0
                    higher += priority > PRIORITY
                case Request(kind=kind) as request if kind == TOTALS:
                    await request.reply(0, [count, system, higher, channel.refused])
                case Request() as request:
                    await request.error(Errno.ENOSYS)
