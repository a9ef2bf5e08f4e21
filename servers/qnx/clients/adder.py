"""A server that adds: one request at a time, and its work takes a while."""

from typing import Final

from capkernel.user.loop import PD
from servers.qnx.channel import Channel, Peer, Request
from servers.qnx.errors import Errno
from servers.qnx.priority import ROOT_SHIFT, OwnPriority

CLIENTS: Final = range(2, 10)
ADD: Final = 1
CLIENT_PRIORITY: Final = 100
OWN_TCB, CEILING = 5, 150
"""Slot of the cap to its own TCB in the root CNode, and the priority that the description gives it."""
WORK: Final = 5_000
"""Ticks that a request takes."""


async def init(pd: PD) -> None:
    """Receive for ever."""
    own_priority = OwnPriority(pd.sys, OWN_TCB << ROOT_SHIFT, CEILING)
    channel = Channel(pd, dict.fromkeys(CLIENTS, Peer(priority=CLIENT_PRIORITY)), own_priority=own_priority)
    while True:
        got = await channel.receive()
        if isinstance(got, Request):
            await pd.compute(WORK)
            if got.kind == ADD:
                await got.reply(0, [sum(got.words) % (1 << 64)])
            else:
                await got.error(Errno.ENOSYS)
