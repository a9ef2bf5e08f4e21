"""Works for one of two companies that compete, and wants to see the other's papers as well: an attacker of walls."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from capkernel.protocols.brokering import READ
from capkernel.protocols.failures import Failure, Gone, NotFound, NotPermitted, QuotaExceeded, ServerDied
from capkernel.user.loop import PD
from policies.clients.subject import Subject

report: int = 0

DONE, TRIES, SERVED, CROSSED, LAST = range(5)
"""Words of the report: the end; tries to see the other's papers; looks at its own; looks at the other's; when the last
look that worked was begun.
"""
LEASE_US, PAUSE_US = 90_000, 4_000
ROUNDS = 2
OWN = {"alice": ("plans", "payroll")}
"""Who works for whom, and the competitor; the others the other way round."""


class Program:
    """The attacker."""

    async def init(self, pd: PD) -> None:
        """Be served by one; then try again and again to be served by the other, until nothing works any more."""
        self.me, self.words = Subject(pd, report), [0] * 5
        own, self.other = OWN.get(pd.name, ("payroll", "plans"))
        number = await self._employed(own)
        ways: list[Callable[[], Awaitable[Any]]] = [self._ask, lambda: self._leave(number), self._ask_for_a_friend]
        for way in ways * ROUNDS:
            await self._look(own)
            self.words[TRIES] += 1
            with suppress(Failure):
                await way()
            await self.me.ask(lambda: self.me.timer.sleep(PAUSE_US))
        while await self._look(own):
            await self.me.ask(lambda: self.me.timer.sleep(PAUSE_US // 4))
        self.words[DONE] = 1
        await self.me.tell(*self.words)

    async def _employed(self, own: str) -> int:
        """The first grant, once all who must allow it answer."""
        while True:
            try:
                return (await self.me.obtain(own, READ, "my work", LEASE_US)).number
            except (NotPermitted, QuotaExceeded):
                await self.me.ask(lambda: self.me.timer.sleep(PAUSE_US))

    async def _look(self, own: str) -> bool:
        """Whether a grant of its own work is there, and works."""
        began = await self.me.now_us()
        for info in await self.me.ask(lambda: self.me.broker.grants(0)):
            try:
                directory = await self.me.directory(info.number)
                await directory.list(0)
                await directory.forget()
            except (NotFound, Gone, ServerDied):
                continue
            self.words[SERVED if info.service == own else CROSSED] += 1
            self.words[LAST] = began
            return True
        return False

    async def _ask(self) -> None:
        """It is for something harmless."""
        await self.me.obtain(self.other, READ, "the weather", 1_000)
        self.words[CROSSED] += 1

    async def _leave(self, number: int) -> None:
        """Give up its own work first; what was seen stays seen. Then go back to it."""
        infos = await self.me.ask(lambda: self.me.broker.grants(0))
        own = infos[0] if infos else None
        for info in infos:
            await self.me.through(info.number, lambda grant: grant.drop())
        try:
            await self._ask()
        finally:
            if own is not None:
                await self.me.obtain(own.service, READ, "my work", LEASE_US)

    async def _ask_for_a_friend(self) -> None:
        """Ask for nothing but an explanation, then as if that had been a yes."""
        await self.me.ask(lambda: self.me.broker.explain(self.other, READ, "", 1_000))
        await self._ask()

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
