"""Waits most of the time: for a moment, and for a line that somebody types."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.clocks import Timer
from capkernel.protocols.console import ConsoleInput, Ending, Line
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from servers.clients.journal_keeper import Program as Keeper

INPUT, TIMER = 2, 3
SLEEP_US = 9_000


class Program(Keeper):
    def __init__(self) -> None:
        super().__init__()
        self.timer: Any = None
        self.input: Any = None

    async def _begin(self, pd: PD, connection: Connection) -> None:
        self.timer = connect(Timer, connection, BASE_ENDPOINT_CAP + TIMER)
        self.input = connect(ConsoleInput, connection, BASE_ENDPOINT_CAP + INPUT)

    async def _round(self, pd: PD, number: int) -> None:
        before = await self._ask(pd, self.timer.now)
        await self._ask(pd, lambda: self.timer.sleep(SLEEP_US))
        after = await self._ask(pd, self.timer.now)
        if None not in (before, after):
            self._check(before + SLEEP_US <= after < before + SLEEP_US + 3_000)
        line = await self._ask(pd, lambda: self.input.read_line(f"{number}? "))
        self._check(line == Line(Ending.ENTERED, f"answer {number}"))

    async def _ticket(self, pd: PD, tickets: Any) -> None:
        pass

    async def _try(self, pd: PD) -> None:
        pass

    async def _look(self, pd: PD, number: int) -> None:
        pass
