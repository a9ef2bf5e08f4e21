"""Puts a directory in memory, and a link to it, on nodes of its own, and uses both."""

from typing import Any

from capkernel.protocols.files import READ, READ_WRITE
from capkernel.user.loop import PD
from servers.hurd.clients.user import Being


class Program(Being):
    """The client."""

    async def init(self, pd: PD) -> None:
        """Write through one, read through the other."""
        await super().init(pd)
        user = self.user
        home: Any = await (await user.home(READ)).underlying_directory("alice", READ_WRITE)
        for name, command in {"tmp": ["hurd_tmpfs"], "link": ["hurd_firmlink", "home/alice/tmp"]}.items():
            await (await home.make_directory(name)).drop()
            await home.set_passive(name, command)
        tmp = await home.directory("tmp", READ_WRITE)
        file = await tmp.create("note")
        await file.write(0, b"in memory")
        link = await home.directory("link", READ_WRITE)
        await user.notes.tried("read", user.read(link, "note"))
        written = await link.create("back")
        await written.write(0, b"through the link")
        await user.notes.tried("back", user.read(tmp, "back"))
        await user.notes.note("names", ",".join(entry.name for entry in await link.list(0)))
        only = await home.directory("link", READ)
        await user.notes.tried("read-only", only.create("no"))
        below: Any = await home.underlying_directory("tmp", READ)
        await user.notes.note("below", len(await below.list(0)))
        await user.notes.over()

    async def notified(self, pd: PD, ch: int) -> None:
        """A beat."""
