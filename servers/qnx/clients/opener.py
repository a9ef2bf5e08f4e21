"""A client of resource managers: it opens paths, and writes down what it reads, or which failure it is answered.

Then it tries what only resource managers may: to attach itself in front of one.
"""

from collections.abc import Awaitable
from typing import Final

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.interface import Cap
from capkernel.protocols.qnx_paths import Access, PathManager, Place
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from servers.qnx.paths import open_path

report: int = 0

PATHS: Final = 310
"""Cap to the path manager that takes caps along, with the badge of this domain's channel to it."""
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
PLACE: Final = 64
"""Bytes of each entry in the report, as text; the first word says how many there are."""
READ: Final = ("/dev/x", "/fs/first", "/fs/second", "/fs/both", "/fs/none", "/dev/xy", "/dev", "dev/x", "/dev/../dev/x")


class Opener:
    """What the client does."""

    def __init__(self, pd: PD) -> None:
        self.pd = pd
        self.connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        self.paths = connect(PathManager, self.connection, PATHS)
        self.count = 0

    async def note(self, text: str) -> None:
        """Write down a line."""
        await self.pd.write(report + 8 + PLACE * self.count, text.encode()[: PLACE - 1].ljust(PLACE, b"\0"))
        self.count += 1
        await self.pd.store(report, self.count)

    async def read(self, path: str) -> str:
        """What is at a path, or the name of the failure."""
        try:
            session = await open_path(self.paths, self.connection, path, Access.READ)
            content = (await session.read(64)).decode()
            await session.drop()
        except Failure as failure:
            return type(failure).__name__
        return content

    async def sessions(self) -> None:
        """Two sessions with one device have positions of their own; what one writes the other reads."""
        one = await open_path(self.paths, self.connection, "/dev/x", Access.READ_WRITE)
        other = await open_path(self.paths, self.connection, "/dev/x", Access.READ)
        first = await one.read(2)
        await one.write(b"!!")
        await self.note((first + b"|" + await other.read(4)).decode())
        await one.drop()
        await self.note(await self._refused(one.read(1)))
        await self.note((await other.read(1)).decode())
        await self.note(await self._refused(other.write(b"?")))
        await other.drop()

    async def intrude(self) -> None:
        """Attach in front of /dev/x; detach what is another's."""
        await self.note(await self._refused(self.paths.attach("/dev/x", Cap(OWN_CNODE), Place.BEFORE, False, False)))
        number = (await self.paths.candidates("/dev/x"))[0].number
        await self.note(await self._refused(self.paths.detach(number)))
        await self.note(await self.read("/dev/x"))

    async def _refused(self, asked: Awaitable[object]) -> str:
        try:
            await asked
        except Failure as failure:
            return type(failure).__name__
        return "it was done"


async def init(pd: PD) -> None:
    """Do it all."""
    opener = Opener(pd)
    for path in READ:
        await opener.note(await opener.read(path))
    await opener.sessions()
    await opener.intrude()
