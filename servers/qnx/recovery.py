"""A connection that recovers (``ha_attach``, ``ha_reopen``): a client notices only that it took longer.

When the server died, or does not know this client's session any more, ``recover`` is awaited: it makes the connection
what it was, by opening anew and saying again what the server has forgotten. Then the request is sent once more.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from servers.qnx.connection import Connection, Reply
from servers.qnx.errors import Errno, QnxError

BROKEN: Final = frozenset({Errno.ESRCH, Errno.EBADF})
"""Errors that say that the connection is not what it was."""
ATTEMPTS: Final = 16


class RecoveringConnection:
    """A connection with a way to recover it. ``recovered`` counts how often that was necessary."""

    def __init__(self, connection: Connection, recover: Callable[[Connection], Awaitable[None]]) -> None:
        self.connection = connection
        self.recover = recover
        self.recovered = 0

    async def send(self, kind: int, words: Callable[[], Sequence[int]]) -> Reply:
        """Send, as often as is necessary; ``words`` are asked for each time, for a session may have a new number.

        Raises QnxError: what else the server answers; ESRCH or EBADF if it does not come back.
        """
        for attempt in range(ATTEMPTS):
            try:
                if attempt:
                    self.recovered += 1
                    await self.recover(self.connection)
                return await self.connection.send(kind, list(words()))
            except QnxError as error:
                if error.errno not in BROKEN:
                    raise
        raise QnxError(Errno.ESRCH, f"the server did not come back in {ATTEMPTS} attempts")
