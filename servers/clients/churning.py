"""Working and checking for ever, for clients of the fault campaign: what they count, and how they report it."""

from collections.abc import Awaitable, Callable

from capkernel.protocols.failures import Failure, Gone, ServerDied
from capkernel.user.loop import PD
from capkernel.user.operations import tell_host

ROUNDS, LOST, ERRORS, RETRIES = 0, 8, 16, 24
"""Offsets in the report: rounds so far; what was acknowledged and is not so; failures seen; requests made again because
the server was started anew.
"""
PAUSE = 4088
"""Offset of what the host writes there: for how many ticks of 100 ns the client is to do nothing after each round."""
TRIES = 100


class Churning:
    """A client's counts."""

    def __init__(self) -> None:
        self.rounds = self.lost = self.errors = self.retries = 0

    async def forever(self, pd: PD, report: int, *works: Callable[[], Awaitable[None]]) -> None:
        """Rounds without end: in each one after the other, each until it is done. Who died goes on counting."""
        self.rounds = await pd.load(report + ROUNDS)
        while True:
            for work in works:
                await self._surely(pd, work)
            self.rounds += 1
            for offset, value in ((LOST, self.lost), (ERRORS, self.errors), (RETRIES, self.retries)):
                await pd.store(report + offset, value)
            await pd.store(report + ROUNDS, self.rounds)
            await tell_host(self.rounds)
            if pause := await pd.load(report + PAUSE):
                await pd.compute(pause)

    async def _surely(self, pd: PD, work: Callable[[], Awaitable[None]]) -> None:
        """Do something, and again if the server was started anew meanwhile."""
        for _ in range(TRIES):
            try:
                await work()
            except (ServerDied, Gone):
                self.retries += 1
            except Failure as failure:
                self.errors += 1
                await pd.print(f"{pd.name}: {type(failure).__name__}: {failure}\n")
                return
            else:
                return
        self.errors += 1
