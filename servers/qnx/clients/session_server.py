"""A server with sessions, each with a sum. It keeps them in its own memory, and forgets them when it dies."""

from typing import Final

from capkernel.user.loop import PD
from servers.qnx.channel import Channel, Peer, Request
from servers.qnx.errors import Errno

CLIENTS: Final = range(2, 6)
HEARTBEAT: Final = 1
OPEN, ADD = 1, 2
"""Open a session with a sum to begin with: its number. Add to a session's sum: the sum."""
WORK: Final = 2_000
"""Ticks."""


async def init(pd: PD) -> None:
    """Receive for ever."""
    channel = Channel(pd, dict.fromkeys(CLIENTS, Peer()), heartbeat=HEARTBEAT)
    sums: dict[int, int] = {}
    while True:
        match await channel.receive():
            case Request(kind=kind, words=(first,)) as request if kind == OPEN:
                number = pd.life * 1_000 + len(sums)
                sums[number] = first
                await request.reply(0, [number])
            case Request(kind=kind, words=(number, more)) as request if kind == ADD:
                await pd.compute(WORK)
                if number in sums:
                    sums[number] += more
                    await request.reply(0, [sums[number]])
                else:
                    await request.error(Errno.EBADF)
            case Request() as request:
                await request.error(Errno.ENOSYS)
