"""Has a small bank of memory, and would like more, or to keep what it returned: an attacker of space banks."""

from typing import Any

from capkernel.protocols.client import Stub
from capkernel.protocols.failures import Failure
from capkernel.protocols.memory import PAGE, Account, Use
from capkernel.user import stubs
from capkernel.user.errors import KernelError
from capkernel.user.loop import PD
from policies.clients.exchange import Party

report: int = 0

BANK = 310
DONE, TRIES, GAINED, KEPT, MOST, HELD = range(6)
"""Words of the report: the end; tries; those by which it got more than its own; frames that it could use after it had
returned them; the most pages that it had at a time; frames that it could use while they were its own.
"""
OWN = 16 * PAGE
ROUNDS = 4


class Program:
    """The attacker."""

    async def init(self, pd: PD) -> None:
        """Everything it can think of, again and again."""
        self.me, self.words = Party(pd, report), [0] * 6
        self.bank: Any = self.me.at(Account, BANK)
        for number in range(ROUNDS):
            try:
                await self._overdraw(10 * number + 1)
                await self._keep(10 * number + 5)
                await self.bank.clear()
            except (Failure, KernelError):
                continue
        self.words[DONE] = 1
        await self.me.tell(*self.words)

    async def _overdraw(self, number: int) -> None:
        """Ask for more, at once or bit by bit, by banks below, by numbers that look like others'."""
        await self._try(self.bank.allocate(number, OWN + PAGE, Use.FRAMES))
        await self._try(self.bank.split(number, OWN + PAGE))
        await self._try(self.bank.allocate(number, -PAGE, Use.FRAMES))
        await self._try(self.bank.split(number, 1 << 62))
        await self._try(self.bank.memory(1 << 62 | 1))
        await self._try(self.bank.close())
        await self._try(self.bank.dissolve())
        below = await self.bank.split(number, OWN)
        await self._try(self.bank.allocate(number, PAGE, Use.FRAMES))
        await below.allocate(1, OWN, Use.FRAMES)
        await self._try(below.allocate(2, PAGE, Use.FRAMES))
        await below.dissolve()
        await self._try(self.bank.allocate(number, PAGE, Use.FRAMES))
        await self._try(below.allocate(3, PAGE, Use.FRAMES))
        await self._try(self.bank.split(number, PAGE))
        info = await self.bank.info()
        self.words[MOST] = max(self.words[MOST], info.used // PAGE)
        await self.bank.clear()

    async def _keep(self, number: int) -> None:
        """Keep caps to frames in every way, and return the memory."""
        below = await self.bank.split(number, OWN)
        memory = await below.allocate(1, 2 * PAGE, Use.FRAMES)
        frames = [await memory.frame(0), await memory.frame(1), await memory.frame(0)]
        self.words[HELD] += await self._usable(frames)
        await below.dissolve()
        self.words[HELD] += await self._usable(frames)
        await self.bank.clear()
        self.words[TRIES] += len(frames)
        self.words[KEPT] += await self._usable(frames)
        for attempt in (memory.frame(0), memory.size(), below.info(), below.allocate(9, PAGE, Use.FRAMES)):
            await self._try(attempt)

    async def _usable(self, frames: list[int]) -> int:
        """How many of these caps lead to a frame."""
        count = 0
        for frame in frames:
            try:
                await stubs.page_get_address(self.me.pd.sys, frame)
            except KernelError:
                continue
            count += 1
        return count

    async def _try(self, attempt: Any) -> None:
        self.words[TRIES] += 1
        try:
            got = await attempt
        except Failure:
            return
        self.words[GAINED] += 1
        if isinstance(got, Stub):
            await got.forget()

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
