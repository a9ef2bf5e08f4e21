"""Puts a translator on a node of its own, lets the other user look and try, and takes it away again."""

from typing import Any

from capkernel.protocols.files import READ, READ_WRITE
from capkernel.user.loop import PD
from servers.hurd.clients.user import OTHER, READ_BYTES, Being


class Program(Being):
    """The client."""

    def __init__(self) -> None:
        super().__init__()
        self.home: Any = None

    async def init(self, pd: PD) -> None:
        """Read, put a translator there, read."""
        await super().init(pd)
        user = self.user
        self.home = await (await user.home(READ)).underlying_directory("alice", READ_WRITE)
        await user.notes.tried("before", user.read(self.home, "greeting"))
        translator = await user.start(1, self.home, "greeting", ["hurd_hello", "from", "a", "translator"])
        await user.notes.tried("attach", self.home.attach("greeting", translator))
        await user.notes.tried("attached", user.read(self.home, "greeting"))
        await pd.notify(OTHER)

    async def notified(self, pd: PD, ch: int) -> None:
        """The other user has tried what it could."""
        if ch != OTHER:
            return
        user = self.user
        await user.notes.tried("still attached", user.read(self.home, "greeting"))
        opened: Any = await self.home.open("greeting", READ)
        await user.notes.tried("detach", self.home.detach("greeting"))
        await user.notes.tried("detached", user.read(self.home, "greeting"))
        await user.notes.tried("opened before", opened.read(0, READ_BYTES))
        await user.starter.stop(1)
        await user.notes.tried("after its end", opened.read(0, READ_BYTES))
        await user.notes.tried("memory taken", self.left())
        await user.notes.over()

    async def left(self) -> tuple[int, int]:
        """What the translator took that is still taken, in bytes: for its process, for its endpoint."""
        usage = await self.user.starter.usage(self.user.uid)
        return usage.memory, usage.objects
