"""A process manager that looks whether there is a place in a server's ring, and then reads once more which one it is.

What was looked at needs no further look: so whoever changes the number in between has it write beside the ring.
"""

import struct

from capkernel.user.loop import PD
from servers.qnx import process_manager
from servers.qnx.pulses import PLACE, PLACES, SENT, Pulse, PulseSender, capacity_of


class LookingSender(PulseSender):
    """A sender that believes that the number is still below the number of places."""

    async def send(self, priority: int, code: int, value: int = 0) -> None:
        """Send, without waiting."""
        Pulse(code, value, priority)
        if await self.count() >= capacity_of(self.region):
            await super().send(priority, code, value)
            return
        number = await self.pd.load(self.region.vaddr + SENT)
        place = self.region.vaddr + PLACES + number * PLACE
        await self.pd.write(place, struct.pack("<QQ", code & 0xFF | priority << 8, value))
        await self.pd.store(self.region.vaddr + SENT, number + 1)
        await self.pd.notify(self.channel)


class Program(process_manager.Program):
    """The process manager."""

    async def init(self, pd: PD) -> None:
        """Serve, and trust."""
        await super().init(pd)
        senders = self.manager.senders
        self.manager.senders = {
            name: LookingSender(pd, sender.region, sender.channel) for name, sender in senders.items()
        }
