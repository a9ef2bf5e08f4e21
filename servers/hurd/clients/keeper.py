"""Leaves command lines with nodes of its own, unless they are there already, and looks the nodes up."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from capkernel.protocols.failures import Gone, ServerDied
from capkernel.protocols.files import READ, READ_WRITE
from capkernel.user.loop import PD
from servers.hurd.clients.user import OTHER, Being

TRIES: Final = 4


class Program(Being):
    """The client."""

    def __init__(self) -> None:
        super().__init__()
        self.home: Any = None
        self.again = 0

    async def init(self, pd: PD) -> None:
        """See what is there."""
        await super().init(pd)
        user = self.user
        self.home = await (await user.home(READ)).underlying_directory("alice", READ_WRITE)
        found = (await self.home.translation("greeting")).command
        await user.notes.note("found", " ".join(found))
        if not found:
            file = await self.home.create("quiet")
            await file.write(0, b"quiet words")
            await file.sync()
            await (await self.home.create("peek")).drop()
            await self.home.set_passive("peek", ["hurd_peek"])
            await self.home.set_passive("greeting", ["hurd_hello", "it", "was", "asleep"])
            await self.home.set_passive("quiet", ["hurd_upper"])
        await self.look()
        await pd.notify(OTHER)

    async def look(self) -> None:
        """Look the nodes up."""
        notes = self.user.notes
        await notes.note("before", await self.running())
        await notes.tried("greeting", self.surely(lambda: self.user.read(self.home, "greeting")))
        await notes.note("after one", await self.running())
        await notes.tried("greeting again", self.surely(lambda: self.user.read(self.home, "greeting")))
        await notes.note("after two", await self.running())
        await notes.tried("quiet", self.surely(lambda: self.user.read(self.home, "quiet")))
        await notes.tried("quiet below", self.below())
        await notes.note("again", self.again)

    async def notified(self, pd: PD, ch: int) -> None:
        """The other user has left a command line with a node of its own, too."""
        if ch != OTHER:
            return
        notes = self.user.notes
        theirs = await (await self.user.home(READ)).underlying_directory("mallory", READ)
        await notes.tried("mallory's peek", self.user.read(theirs, "peek"))
        await notes.tried("own peek", self.surely(lambda: self.user.read(self.home, "peek")))
        await self.home.detach("quiet")
        await notes.note("detached", await self.running())
        await self.home.set_passive("quiet", [])
        await notes.tried("itself", self.user.read(self.home, "quiet"))
        await self.home.set_passive("quiet", ["hurd_upper"])
        await notes.over()

    async def running(self) -> int:
        """How many translators of this user run."""
        return int((await self.user.starter.usage(self.user.uid)).processes)

    async def below(self) -> bytes:
        """What is in the file below the filter."""
        file: Any = await self.home.underlying("quiet", READ)
        content: bytes = await file.read(0, 64)
        await file.drop()
        return content

    async def surely(self, ask: Callable[[], Awaitable[bytes]]) -> bytes:
        """Look again if the translator died."""
        for left in reversed(range(TRIES)):
            try:
                return await ask()
            except (Gone, ServerDied):
                self.again += 1
                if not left:
                    raise
        raise AssertionError("the last try returns, or raises")
