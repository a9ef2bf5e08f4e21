"""An attacker with a ring of its own: it poses as the system, claims a high priority, and spoils the ring."""

import struct
from typing import Final

from capkernel.user.loop import PD
from servers.qnx.channel import unblock_value
from servers.qnx.pulses import UNBLOCK

ring: int = 0
report: int = 0

SERVER: Final = 0
VICTIM: Final = 2
TRIES: Final = 64
"""Requests of the victim that it says were given up."""
HIGH: Final = 255


async def init(pd: PD) -> None:
    """Attack: by writing the ring itself, for the library would refuse."""
    for number in range(TRIES):
        value = unblock_value(VICTIM, number)
        await pd.write(ring + 16 + 16 * number, struct.pack("<QQ", UNBLOCK & 0xFF | HIGH << 8, value))
    await pd.store(ring, TRIES)
    await pd.notify(SERVER)
    await pd.store(report, TRIES)
    await pd.write(ring + 16 + 16 * TRIES, struct.pack("<QQ", 1 | HIGH << 8, 7))
    await pd.store(ring, TRIES + 1)
    await pd.notify(SERVER)
    await pd.store(ring, 1 << 63)
    await pd.notify(SERVER)
    await pd.store(report + 8, 1)
