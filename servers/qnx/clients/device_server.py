"""A server in front of a slow device: some requests are computed, others wait until the device has data.

It holds the clients of those that wait, and goes on receiving. The device says by a pulse that there is data. A client
who gives up waiting is answered at once.
"""

from typing import Final

from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from servers.qnx.channel import Channel, Peer, Request, Unblock
from servers.qnx.errors import Errno
from servers.qnx.priority import ROOT_SHIFT, OwnPriority
from servers.qnx.pulses import Pulse

RING_BYTES: Final = 0x1000

MANAGER, DEVICE, CLIENTS = 2, 3, range(4, 8)
OWN_TCB, CEILING = 5, 150
COMPUTE, READ = 1, 2
"""Kinds of requests: compute for so many ticks; read what the device has, when it has."""
TIDYING: Final = 15_000
"""Ticks that a computation takes after it was answered: longer than a turn, so its client goes on meanwhile."""
REPLIES: Final = range(310, 314)
UNBLOCKED: Final = 0
"""Offset in ``state``: how often a client was said to have given up."""


class Program:
    """The server. ``Kind`` is how it tells requests apart."""

    ring_manager: int = 0
    ring_device: int = 0
    state: int = 0
    Kind: type[Channel] = Channel

    async def init(self, pd: PD) -> None:
        """Receive for ever."""
        peers = dict.fromkeys(CLIENTS, Peer(priority=100))
        peers[MANAGER] = Peer(priority=100, ring=SharedRegion(self.ring_manager, RING_BYTES), is_system=True)
        peers[DEVICE] = Peer(priority=120, ring=SharedRegion(self.ring_device, RING_BYTES))
        channel = self.Kind(pd, peers, REPLIES, OwnPriority(pd.sys, OWN_TCB << ROOT_SHIFT, CEILING))
        waiting: list[Request] = []
        unblocked = 0
        while True:
            match await channel.receive():
                case Request(kind=kind, words=words) as request if kind == COMPUTE and words:
                    await pd.compute(words[0])
                    await request.reply()
                    await pd.compute(TIDYING)
                case Request(kind=kind) as request if kind == READ:
                    waiting.append(request)
                case Request() as request:
                    await request.error(Errno.ENOSYS)
                case Pulse(connection=connection, value=value) if connection == DEVICE:
                    for request in waiting:
                        await request.reply(0, [value])
                    waiting.clear()
                case Unblock(request=request):
                    unblocked += 1
                    await pd.store(self.state + UNBLOCKED, unblocked)
                    waiting.remove(request)
                    await request.error(Errno.EINTR)
