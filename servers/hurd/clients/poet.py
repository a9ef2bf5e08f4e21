"""Uses the translator of docs/hurd.md, passive and active."""

from typing import Any

from capkernel.protocols.files import READ, READ_WRITE
from capkernel.user.loop import PD
from servers.hurd.clients.user import Being


class Program(Being):
    """The client."""

    async def init(self, pd: PD) -> None:
        """A poem, line by line."""
        await super().init(pd)
        user = self.user
        home: Any = await (await user.home(READ)).underlying_directory("alice", READ_WRITE)
        await (await home.create("poem")).write(0, b"one\ntwo\nthree\n")
        await home.set_passive("poem", ["hurd_lines"])
        await user.notes.tried("passive", user.read(await home.directory("poem", READ), "2"))
        await home.set_passive("poem", [])
        await user.notes.tried("itself", user.read(home, "poem"))
        await home.attach("poem", await user.start(1, home, "poem", ["hurd_lines"]))
        lines = await home.directory("poem", READ)
        await user.notes.tried("active", user.read(lines, "3"))
        await user.notes.tried("missing", user.read(lines, "4"))
        await user.notes.note("names", ",".join(entry.name for entry in await lines.list(0)))
        await user.notes.over()

    async def notified(self, pd: PD, ch: int) -> None:
        """A beat."""
