"""Keeps open what a file server serves; when that dies it logs in again, and looks up again."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from capkernel.protocols.failures import AlreadyExists, Gone, ServerDied
from capkernel.protocols.files import READ, READ_WRITE
from capkernel.user.loop import PD
from servers.hurd.clients.user import OTHER, READ_BYTES, User

report: int = 0
ROUNDS = 8
PAUSE = 20_000
T = TypeVar("T")


class Program:
    def __init__(self) -> None:
        self.user: Any = None
        self.home: Any = None
        self.kept: list[Any] = []
        self.seen: set[str] = set()
        self.again = 0

    async def init(self, pd: PD) -> None:
        self.user = User(pd, report)
        await self.surely(self.prepare)
        await self.surely(self.look)
        await pd.notify(OTHER)
        for _ in range(ROUNDS):
            await pd.compute(PAUSE)
            for opened in list(self.kept):
                await self.read(opened)
            await self.surely(self.look)
        notes = self.user.notes
        await notes.note("kept", ", ".join(sorted(self.seen)))
        await notes.note("again", self.again)
        await notes.note("last", await self.surely(lambda: self.user.read(self.home, "quiet")))
        await notes.note("diary", await self.surely(lambda: self.user.read(self.home, "diary")))
        await notes.note("running", (await self.user.starter.usage(self.user.uid)).processes)
        await notes.over()

    async def come_back(self) -> None:
        await self.user.log_in()
        self.home = await (await self.user.home(READ)).underlying_directory("alice", READ_WRITE)

    async def prepare(self) -> None:
        with suppress(AlreadyExists):
            await (await self.home.create("quiet")).drop()
        file = await self.home.underlying("quiet", READ_WRITE)
        await file.write(0, b"quiet words")
        await file.sync()
        await self.home.set_passive("quiet", ["hurd_upper"])

    async def look(self) -> None:
        """What the translator serves, and what is below it."""
        self.kept = []
        opened = await self.home.open("quiet", READ)
        self.kept = [opened, await self.home.underlying("quiet", READ)]
        await opened.read(0, READ_BYTES)

    async def read(self, opened: Any) -> None:
        try:
            self.seen.add((await opened.read(0, READ_BYTES)).decode())
        except (Gone, ServerDied) as failure:
            self.seen.add(type(failure).__name__)

    async def surely(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                if self.home is None:
                    await self.come_back()
                return await ask()
            except (Gone, ServerDied):
                self.again += 1
                self.home = None

    async def notified(self, pd: PD, ch: int) -> None:
        pass
