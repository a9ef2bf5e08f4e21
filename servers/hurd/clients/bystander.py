"""Another user, who does its work at each beat, and is to notice nothing."""

from typing import Any, Final

from capkernel.protocols.files import READ, READ_WRITE
from capkernel.user.loop import PD
from servers.hurd.clients.user import BEAT, Being

ROUNDS: Final = 8


class Program(Being):
    """The client."""

    def __init__(self) -> None:
        super().__init__()
        self.home: Any = None
        self.rounds = 0

    async def init(self, pd: PD) -> None:
        """Be somebody."""
        await super().init(pd)
        self.home = await (await self.user.home(READ)).underlying_directory("mallory", READ_WRITE)

    async def notified(self, pd: PD, ch: int) -> None:
        """A beat: write something, and read it."""
        if ch != BEAT or self.rounds == ROUNDS:
            return
        self.rounds += 1
        file = await self.home.create(f"round {self.rounds}")
        await file.write(0, f"written in round {self.rounds}".encode())
        await file.sync()
        await file.drop()
        await self.user.notes.tried(str(self.rounds), self.user.read(self.home, f"round {self.rounds}"))
        if self.rounds == ROUNDS:
            await self.user.notes.over()
