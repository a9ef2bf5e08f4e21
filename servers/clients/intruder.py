"""A disk driver that tries what is not its own: a foreign interrupt, device and server, and memory beyond its map.

A try may end its life; its number is in memory that outlives it.
"""

from capkernel.abi import labels
from capkernel.abi.errors import INVALID_CAPABILITY
from capkernel.user.loop import BASE_ENDPOINT_CAP, BASE_IRQ_CAP, PD
from capkernel.user.syscalls import Message
from servers.drivers.virtio_blk import READ, Disk, Request

registers: int = 0
rings: int = 0
state: int = 0

TRIES, REFUSED, EFFECTS, DONE = 0, 8, 16, 24
"""Offsets in the memory that outlives this program: tries so far; those that the kernel answered with an error; those
that had an effect as far as this program sees; 1 at the end.
"""
FOREIGN_CHANNEL = 33
UART = 0x1000_0000
"""The physical address of a device of somebody else, which is no address in this domain."""
RINGS_IO, BEYOND_IO = 0x1000_0000, 0x2001_0000
"""As the description maps them for the device: its rings, and the first address behind the transfer region."""
SUPERVISOR = 1
WAIT = 20_000
"""Ticks for the device to answer."""


class Program:
    """The driver."""

    async def init(self, pd: PD) -> None:
        """The next try."""
        tries = self._interrupt, self._device, self._server, self._memory
        while (number := await pd.load(state + TRIES)) < len(tries):
            await pd.store(state + TRIES, number + 1)
            await tries[number](pd)
        await pd.store(state + DONE, 1)

    async def notified(self, pd: PD, ch: int) -> None:
        """Signs of life."""
        if ch == SUPERVISOR:
            await pd.notify(SUPERVISOR)

    async def _interrupt(self, pd: PD) -> None:
        await self._call(pd, BASE_IRQ_CAP + FOREIGN_CHANNEL, Message(labels.IRQ_HANDLER_ACK))

    async def _device(self, pd: PD) -> None:
        await pd.load(UART, 1)
        await self._count(pd, EFFECTS)

    async def _server(self, pd: PD) -> None:
        await self._call(pd, BASE_ENDPOINT_CAP + FOREIGN_CHANNEL, Message())

    async def _call(self, pd: PD, cap: int, message: Message) -> None:
        answer = await pd.sys.call(cap, message)
        await self._count(pd, REFUSED if answer.label == INVALID_CAPABILITY else EFFECTS)

    async def _count(self, pd: PD, what: int) -> None:
        await pd.store(state + what, await pd.load(state + what) + 1)

    async def _memory(self, pd: PD) -> None:
        """Let the disk write behind the end of the transfer region."""
        disk = Disk(pd, registers, rings, RINGS_IO)
        await disk.start()
        await disk.submit(0, Request(READ, 0, BEYOND_IO, 512))
        await pd.compute(WAIT)
