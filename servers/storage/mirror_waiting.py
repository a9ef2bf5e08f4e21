"""For whose answer a server waits, written down in memory that outlives it: who keeps it waiting for ever is known.

The first word says for whom, plus one, or 0; then comes a word for each: how many lives of the server ended so.
"""

from collections.abc import Awaitable
from typing import Final, TypeVar

from capkernel.protocols.block import Block, BlockInfo
from capkernel.protocols.failures import Failure
from capkernel.user.operations import load, store

T = TypeVar("T")
WORD: Final = 8
SIDES: Final = 2
MOST: Final = 2
"""Lives that may end while it waits for the same; after another one it is not asked for a while."""
FIRST_PAUSE: Final = 64
LONGEST_PAUSE: Final = 4096
"""Beats; each time twice as many."""


class Awaited:
    """The memory, at ``vaddr``; 0 if there is none, and then nothing is known."""

    def __init__(self, vaddr: int) -> None:
        self.vaddr = vaddr
        self._is_clean = False

    async def begin(self, side: int) -> None:
        """Somebody is asked."""
        if self.vaddr:
            await store(self.vaddr, side + 1)

    async def end(self) -> None:
        """There was an answer, whichever."""
        if self.vaddr:
            await store(self.vaddr, 0)

    async def in_vain(self) -> dict[int, int]:
        """At the start: who is not to be asked, and for how many beats."""
        if not self.vaddr:
            return {}
        waited = await load(self.vaddr)
        counts = [await load(self.vaddr + WORD * (1 + side)) for side in range(SIDES)]
        if 0 < waited <= SIDES:
            counts[waited - 1] += 1
            await store(self.vaddr + WORD * waited, counts[waited - 1])
        await self.end()
        found = {
            side: min(LONGEST_PAUSE, FIRST_PAUSE << min(count - MOST - 1, 16))
            for side, count in enumerate(counts)
            if count > MOST
        }
        return found if len(found) < SIDES else {}

    async def forget(self) -> None:
        """All answer."""
        if self.vaddr and not self._is_clean:
            for side in range(SIDES):
                await store(self.vaddr + WORD * (1 + side), 0)
            self._is_clean = True


class WatchedBlock(Block):
    """A block device of which it is written down that somebody waits for it."""

    def __init__(self, block: Block, awaited: Awaited, side: int) -> None:
        self.block = block
        self.awaited = awaited
        self.side = side

    async def info(self) -> BlockInfo:
        """What the disk is."""
        return await self._waited(self.block.info())

    async def read(self, sector: int, count: int, offset: int) -> None:
        """Sectors into the transfer region."""
        await self._waited(self.block.read(sector, count, offset))

    async def write(self, sector: int, count: int, offset: int) -> None:
        """Sectors out of the transfer region."""
        await self._waited(self.block.write(sector, count, offset))

    async def flush(self) -> None:
        """What was written is to last."""
        await self._waited(self.block.flush())

    async def _waited(self, answer: Awaitable[T]) -> T:
        await self.awaited.begin(self.side)
        try:
            result = await answer
        except Failure:
            await self.awaited.end()
            raise
        await self.awaited.end()
        return result
