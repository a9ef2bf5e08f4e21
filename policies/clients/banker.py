"""Divides a bank of memory, buys, dissolves and closes, again and again, and checks that nothing is lost or made."""

from typing import Any

from capkernel.protocols.failures import Failure, Gone, NotFound, ServerDied
from capkernel.protocols.memory import PAGE, Account, Use
from capkernel.user.loop import PD
from policies.clients.exchange import Party

report: int = 0

BANK = 310
DONE, CHECKS, WRONG, FAILED, LEFT = range(5)
"""Words of the report: the end; how often the sums were looked at; how often they were wrong; what failed, but not by
the death of the server; bytes that are left at the end.
"""
ROUNDS, TRIES = 3, 20


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Each round ends with everything as it was."""
        self.me, self.words = Party(pd, report), [0] * 5
        self.bank: Any = self.me.at(Account, BANK)
        self.quota = (await self._ask(self.bank.info)).quota
        for number in range(ROUNDS):
            await self._round(3 * number + 1)
        self.words[LEFT] = (await self._ask(self.bank.info)).left
        self.words[DONE] = 1
        await self.me.tell(*self.words)

    async def _round(self, number: int) -> None:
        """A bank below with two below that; one is closed, one dissolved; then all is returned."""
        await self._in(number, lambda bank: bank.allocate(1, 2 * PAGE, Use.FRAMES))
        for below in (1, 2):
            await self._in(number, lambda bank, below=below: bank.split(below, 3 * PAGE))
            await self._below(number, below, lambda bank: bank.allocate(7, PAGE, Use.OBJECTS))
        await self._below(number, 1, lambda bank: bank.dissolve())
        await self._below(number, 2, lambda bank: bank.close())
        await self._in(number, lambda bank: bank.dissolve())
        await self._ask(self.bank.clear)
        await self._check()

    async def _ask(self, question: Any) -> Any:
        """Ask, and again if the server died."""
        for _ in range(TRIES):
            try:
                return await question()
            except (ServerDied, Gone):
                continue
            except NotFound:
                return None
            except Failure:
                self.words[FAILED] += 1
                return None
        raise ServerDied("it dies again and again")

    async def _in(self, number: int, act: Any) -> None:
        """Do something with a bank below, which is found by its number whatever became of the caps to it."""

        async def do() -> None:
            await act(await self.bank.split(number, 10 * PAGE))

        await self._ask(do)
        await self._check()

    async def _below(self, number: int, below: int, act: Any) -> None:
        async def do() -> None:
            await act(await (await self.bank.account(number)).account(below))

        await self._ask(do)
        await self._check()

    async def _check(self) -> None:
        """Used, given and left are the quota; and what is given is what the banks below have."""
        info = await self._ask(self.bank.info)
        self.words[CHECKS] += 1
        self.words[WRONG] += info.quota != self.quota or info.used + info.given + info.left != info.quota

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
