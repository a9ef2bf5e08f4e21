"""A server that logs all that it receives, messages and pulses, in one loop. A message keeps it busy for a while."""

from typing import Final

from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from servers.qnx.channel import Channel, Peer, Request
from servers.qnx.priority import ROOT_SHIFT, OwnPriority
from servers.qnx.pulses import Pulse

log: int = 0
ring_a: int = 0
ring_b: int = 0
ring_forger: int = 0
RING_BYTES: Final = 0x1000

ASKER, PULSERS, FORGER = 2, (3, 4), 5
OWN_TCB, CEILING = 5, 150
WORK: Final = 200_000
"""Ticks that a message takes."""
COUNT, REFUSED, FIRST = 0, 8, 16
"""Offsets in the log: entries, pulses that were refused; then three words an entry: connection, head, value."""


async def init(pd: PD) -> None:
    """Receive for ever."""
    peers = {
        ASKER: Peer(priority=100),
        PULSERS[0]: Peer(priority=110, ring=SharedRegion(ring_a, RING_BYTES)),
        PULSERS[1]: Peer(priority=110, ring=SharedRegion(ring_b, RING_BYTES)),
        FORGER: Peer(priority=50, ring=SharedRegion(ring_forger, RING_BYTES)),
    }
    channel = Channel(pd, peers, own_priority=OwnPriority(pd.sys, OWN_TCB << ROOT_SHIFT, CEILING))
    count = 0
    while True:
        got = await channel.receive()
        if isinstance(got, Request):
            entry = (got.connection, 0, got.kind)
            for pulser in PULSERS:
                await pd.notify(pulser)
            await pd.compute(WORK)
            await got.reply()
        elif isinstance(got, Pulse):
            entry = (got.connection, got.code & 0xFF | got.priority << 8 | 1 << 16, got.value)
        else:
            continue
        for index, word in enumerate(entry):
            await pd.store(log + FIRST + 8 * (3 * count + index), word)
        count += 1
        await pd.store(log + COUNT, count)
        await pd.store(log + REFUSED, channel.refused)
