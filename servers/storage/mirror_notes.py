"""What a mirror server writes down in memory that outlives it: for whose answer it waits, and what it is writing.

So its next life knows who keeps it waiting for ever, and which sectors may be old on one disk and new on the other.
The first word says for whom it waits, plus one, or 0; then comes a word for each: how many lives of the server ended
so; then the first sector that is being written, how many there are, and a bit for each disk that is behind.
"""

from collections.abc import Awaitable, Iterable
from typing import Final, TypeVar

from capkernel.protocols.block import Block, BlockInfo
from capkernel.protocols.failures import Failure
from capkernel.user.operations import load, store

T = TypeVar("T")
WORD: Final = 8
SIDES: Final = 2
SECTOR, COUNT, BEHIND = WORD * (1 + SIDES), WORD * (2 + SIDES), WORD * (3 + SIDES)
"""Offsets of the words about what is being written, and about who is behind."""
ENOUGH: Final = 32
"""Answers after which nobody is blamed any more."""
CLEARLY: Final = 2
"""So many times more than the other one somebody must be blamed, for both may be started anew at once."""
MOST: Final = 2
"""Lives that may end while it waits for one that was then started anew; after another it is not asked for a while."""
FIRST_PAUSE: Final = 16
LONGEST_PAUSE: Final = 1024
"""Beats; each time twice as many."""


class Notes:
    """The memory, at ``vaddr``; 0 if there is none, and then nothing is known."""

    def __init__(self, vaddr: int) -> None:
        self.vaddr = vaddr
        self._answers = [0] * SIDES
        self._blamed: int | None = None

    async def begin(self, side: int) -> None:
        """Somebody is asked."""
        if self.vaddr:
            await store(self.vaddr, side + 1)

    async def end(self, side: int) -> None:
        """There was an answer, whichever."""
        if self.vaddr:
            await store(self.vaddr, 0)
            self._answers[side] += 1
            if self._answers[side] == ENOUGH:
                await self._set_count(side, 0)

    async def in_vain(self) -> dict[int, int]:
        """At the start: who is not to be asked, and for how many beats."""
        if not self.vaddr:
            return {}
        waited = await load(self.vaddr)
        counts = [await load(self.vaddr + WORD * (1 + side)) for side in range(SIDES)]
        if 0 < waited <= SIDES:
            self._blamed = waited - 1
            counts[self._blamed] += 1
            await self._set_count(self._blamed, counts[self._blamed])
        await store(self.vaddr, 0)
        behind = await self.behind()
        return {
            side: min(LONGEST_PAUSE, FIRST_PAUSE << min(count - MOST - 1, 16))
            for side, count in enumerate(counts)
            if count > MOST and count >= counts[1 - side] + CLEARLY and 1 - side not in behind
        }

    async def _set_count(self, side: int, count: int) -> None:
        await store(self.vaddr + WORD * (1 + side), count)

    async def pardon(self, side: int) -> None:
        """It was not started anew since it was waited for: so it was not that which ended this server's life."""
        if self.vaddr and side == self._blamed:
            await self._set_count(side, await load(self.vaddr + WORD * (1 + side)) - 1)
            self._blamed = None

    async def writing(self, sector: int, count: int) -> None:
        """Sectors are going to be written; a count of 0: they are."""
        if self.vaddr:
            await store(self.vaddr + SECTOR, sector)
            await store(self.vaddr + COUNT, count)

    async def unwritten(self) -> tuple[int, int] | None:
        """At the start: what was being written when the last life ended."""
        if not self.vaddr:
            return None
        sector, count = await load(self.vaddr + SECTOR), await load(self.vaddr + COUNT)
        return (sector, count) if count else None

    async def behind(self) -> set[int]:
        """Which disks are behind: only the other one's label says so."""
        bits = await load(self.vaddr + BEHIND) if self.vaddr else 0
        return {side for side in range(SIDES) if bits >> side & 1}

    async def set_behind(self, sides: Iterable[int]) -> None:
        """These are."""
        if self.vaddr:
            await store(self.vaddr + BEHIND, sum(1 << side for side in sides))


class WatchedBlock(Block):
    """A block device of which it is written down that somebody waits for it."""

    def __init__(self, block: Block, notes: Notes, side: int) -> None:
        self.block = block
        self.notes = notes
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
        await self.notes.begin(self.side)
        try:
            result = await answer
        except Failure:
            await self.notes.end(self.side)
            raise
        await self.notes.end(self.side)
        return result
