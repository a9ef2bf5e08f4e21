"""A client with a session that must not be lost: it adds 1 again and again, and checks the sum each time."""

from typing import Final

from capkernel.user.loop import PD
from servers.qnx.connection import Connection
from servers.qnx.errors import QnxError
from servers.qnx.recovery import RecoveringConnection

SERVER: Final = 0
OPEN, ADD = 1, 2
COUNT: Final = 30
DONE, WRONG, ERRORS, RECOVERED = 0, 8, 16, 24
"""Offsets in the report: sums, those that were wrong, requests that failed, how often the connection was recovered."""
PAUSE: Final = 8_000
"""Ticks between two requests."""


class Program:
    """The client. Its session's number and what the sum is to be are all that it has to remember."""

    report: int = 0

    def __init__(self) -> None:
        self.session = self.total = 0

    async def open(self, connection: Connection) -> None:
        """Open a session that goes on from the sum that is known here."""
        self.session = (await connection.send(OPEN, [self.total])).words[0]

    async def init(self, pd: PD) -> None:
        """Add."""
        connection = RecoveringConnection(Connection(pd, SERVER), self.open)
        await self.open(connection.connection)
        wrong = errors = 0
        for count in range(1, COUNT + 1):
            try:
                reply = await connection.send(ADD, lambda: (self.session, 1))
                self.total += 1
                wrong += reply.words != (self.total,)
            except QnxError:
                errors += 1
            for offset, word in ((WRONG, wrong), (ERRORS, errors), (RECOVERED, connection.recovered), (DONE, count)):
                await pd.store(self.report + offset, word)
            await pd.compute(PAUSE)
