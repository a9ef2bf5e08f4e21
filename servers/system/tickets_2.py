"""The second version of the ticket server; it fails when it is started for the first time."""

from capkernel.user.loop import PD
from servers.system import tickets

state: int = 0

TRIED = 8
"""Offset of a word in the memory that outlives this program: 1 after the first try."""


class Program(tickets.Program):
    """The server."""

    number = 2

    @property
    def state(self) -> int:
        """Where the state is kept."""
        return state

    async def init(self, pd: PD) -> None:
        """Fail once."""
        if not await pd.load(state + TRIED):
            await pd.store(state + TRIED, 1)
            raise RuntimeError("this version cannot be started yet")
        await super().init(pd)
