"""Writes plans for as long as the broker lets it, and reports when that was over to the microsecond."""

from typing import Any

from capkernel.protocols.brokering import ALL_RIGHTS, READ
from capkernel.protocols.failures import Failure, Gone, NotFound, NotPermitted, ServerDied
from capkernel.protocols.files import READ_WRITE
from capkernel.user.loop import PD
from policies.clients.subject import Subject

report: int = 0

LEASE_US, NEWS_US = 20_000, 10_000
DONE, ERRORS, UNTIL, LAST, WRITTEN, REFUSED = range(6)
"""Words of the report: the end; failures that should not have been; when the lease ends; when the last write that
worked was begun; how many there were; what it tried to hand on and was not allowed to.
"""
PAUSE = 1_000
"""Ticks between writes."""


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Ask for the plans, try to show them to others, then write for as long as it goes."""
        self.me = Subject(pd, report)
        self.words = [0] * 6
        info = await self.me.obtain("plans", ALL_RIGHTS, "the plan for next year", LEASE_US)
        self.words[UNTIL] = info.until_us
        await self._hand_on(info.number)
        await self._write(info.number)
        self.words[DONE] = 1
        await self.me.tell(*self.words)

    async def _hand_on(self, plans: int) -> None:
        """Bob may not see the plans; mallory may read the news."""
        try:
            await self.me.through(plans, lambda grant: grant.delegate("bob", READ, "please look at this", 1_000))
        except NotPermitted:
            self.words[REFUSED] += 1
        except Failure:
            self.words[ERRORS] += 1
        try:
            news = (await self.me.obtain("bulletin", READ, "to share it", NEWS_US)).number
            await self.me.through(news, lambda grant: grant.delegate("mallory", READ, "for the visitor", NEWS_US // 2))
        except Failure:
            self.words[ERRORS] += 1

    async def _write(self, number: int) -> None:
        """Write until the lease is over. What was closed earlier, since a server died, is opened again."""
        file: Any = None
        while True:
            began = await self.me.now_us()
            try:
                file = file or await self._open(number)
                await file.write(0, f"written at {began} us".encode())
            except (Gone, ServerDied):
                file = None
                continue
            except NotFound:
                return
            self.words[LAST] = began
            self.words[WRITTEN] += 1
            await self.me.pd.compute(PAUSE)

    async def _open(self, number: int) -> Any:
        directory = await self.me.directory(number)
        names = [entry.name for entry in await directory.list(0)]
        return await (directory.open("plan", READ_WRITE) if "plan" in names else directory.create("plan"))

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
