"""Sends bursts of pulses when it is told to: what has a place in its ring is sent, and nothing is waited for."""

from typing import Any, Final

from capkernel.user.loop import PD
from capkernel.user.messages import SharedRegion
from servers.qnx.connection import Connection
from servers.qnx.errors import Errno, QnxError

report: int = 0
ring: int = 0
RING_BYTES: Final = 0x1000

SERVER: Final = 0
BURSTS: Final = (100, 300)
"""Pulses in the first burst and in the second; a ring holds 255."""
ACCEPTED, FULL, SLOWEST = 0, 8, 16
"""Offsets in the report: pulses that were accepted, refused with EAGAIN; ticks that the slowest took to be sent."""


class Program:
    """The client's hooks."""

    def __init__(self) -> None:
        self.connection: Any = None
        self.bursts = self.accepted = self.full = self.slowest = 0

    async def init(self, pd: PD) -> None:
        """Connect."""
        self.connection = Connection(pd, SERVER, ring=SharedRegion(ring, RING_BYTES))

    async def notified(self, pd: PD, ch: int) -> None:
        """Send a burst, as long as there is another."""
        for number in range(BURSTS[self.bursts] if self.bursts < len(BURSTS) else 0):
            before = await pd.clock()
            try:
                await self.connection.pulse(60 + number % 7, number % 128, self.accepted)
                self.accepted += 1
            except QnxError as error:
                self.full += error.errno == Errno.EAGAIN
            self.slowest = max(self.slowest, await pd.clock() - before)
        self.bursts += 1
        for offset, word in ((ACCEPTED, self.accepted), (FULL, self.full), (SLOWEST, self.slowest)):
            await pd.store(report + offset, word)
