"""Writes the same files into three file systems that it finds as one tree, copies between them, and looks at it all.

What was synced on the two disks is to be there whatever crashes; what was open is opened again by its name when the
server that had it was started anew. The third file system is memory, and ends with its server.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import AlreadyExists, Failure, Gone, ServerDied
from capkernel.protocols.files import READ, READ_WRITE, Directory
from capkernel.protocols.mounts import Mounts
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD

report: int = 0

ROOT = 310
"""The slot of the cap to the root."""
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
PLACES = ("", "dos", "tmp")
"""The base, and where the others are."""
FILES, PIECES, PIECE = 4, 6, 512
DONE, ERRORS, WRONG, AGAIN = 0, 8, 16, 24
"""Offsets in the report: 1 at the end; requests that failed; what was read otherwise than written; files that were
written again because a server had been started anew.
"""


def content(name: str, number: int) -> bytes:
    """A piece of a file, wherever it is."""
    return f"{name}, {number}; ".encode().ljust(PIECE, b"%")


class Program:
    """The client."""

    def __init__(self) -> None:
        self.errors = self.wrong = self.again = 0

    async def init(self, pd: PD) -> None:
        """Write, copy, look."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        root = connect(Mounts, Connection(pd.sys, inbox), ROOT)
        names = [f"File {number}.text" for number in range(FILES)]
        for place in PLACES:
            for name in names:
                await self._try(pd, partial(self._write, root, place, name))
        for source, target in (("", "dos"), ("dos", "tmp"), ("dos", "")):
            await self._try(pd, partial(self._copy, root, source, target, names[0]))
        for place in PLACES:
            await self._try(pd, partial(self._look, root, place, names))
        for offset, count in ((ERRORS, self.errors), (WRONG, self.wrong), (AGAIN, self.again), (DONE, 1)):
            await pd.store(report + offset, count)

    async def _try(self, pd: PD, work: Callable[[], Awaitable[None]]) -> None:
        """Do something; from the start if a server was started anew meanwhile."""
        while True:
            try:
                await work()
            except (Gone, ServerDied):
                self.again += 1
            except Failure as failure:
                self.errors += 1
                await pd.print(f"{pd.name}: {type(failure).__name__}: {failure}\n")
                return
            else:
                return

    async def _place(self, root: Any, place: str) -> Any:
        return await root.directory(place, READ_WRITE) if place else root

    async def _leave(self, directory: Any, root: Any) -> None:
        if directory is not root:
            await directory.drop()

    async def _file(self, directory: Directory, name: str) -> Any:
        try:
            return await directory.create(name)
        except AlreadyExists:
            return await directory.open(name, READ_WRITE)

    async def _write(self, root: Any, place: str, name: str) -> None:
        directory = await self._place(root, place)
        file = await self._file(directory, name)
        for number in range(PIECES):
            await file.write(number * PIECE, content(name, number))
        await file.sync()
        await file.drop()
        await self._leave(directory, root)

    async def _copy(self, root: Any, source: str, target: str, name: str) -> None:
        there, here = await self._place(root, source), await self._place(root, target)
        old, new = await there.open(name, READ), await self._file(here, f"copy of {name}")
        for number in range(PIECES):
            await new.write(number * PIECE, await old.read(number * PIECE, PIECE))
        await new.sync()
        for each in (old, new):
            await each.drop()
        await self._leave(there, root)
        await self._leave(here, root)

    async def _look(self, root: Any, place: str, names: list[str]) -> None:
        directory = await self._place(root, place)
        for name in [*names, f"copy of {names[0]}"]:
            file = await directory.open(name, READ)
            for number in range(PIECES):
                self.wrong += await file.read(number * PIECE, PIECE) != content(name.removeprefix("copy of "), number)
            await file.drop()
        await self._leave(directory, root)
