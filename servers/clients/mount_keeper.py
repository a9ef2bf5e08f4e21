"""Works with a tree out of several file systems without a pause, so that a mount that is lost or made twice shows.

Each round makes a file in the base by way of the root, mounts a directory of another server and writes a file in it,
finds both again by their names, and takes away what it has made some rounds ago. What is mounted and what is in the
base is compared with what is to be there. The cap to the root is that of the first round, for ever; two more are tried
again and again: one that may only read, and one that was given up.
"""

from functools import partial
from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Gone, NotPermitted
from capkernel.protocols.files import READ, READ_WRITE
from capkernel.protocols.mounts import Mounts
from capkernel.user.loop import PD
from servers.clients.journal_keeper import LEFT, record
from servers.clients.journal_keeper import Program as Keeper

ROOT = 310
"""The slot of the cap to the root, which is no channel: through that no caps could be handed over."""
SOURCE = "disk"
"""What is mounted from the start, of which parts are mounted elsewhere."""


class Program(Keeper):
    """The client."""

    async def _begin(self, pd: PD, connection: Connection) -> None:
        root: Any = connect(Mounts, connection, ROOT)
        self.directory = _as_mounts(await root.restrict(READ_WRITE))
        self.reader = _as_mounts(await root.restrict(READ))
        self.former = await root.restrict(READ_WRITE)
        self.former.is_owned = False
        await self.former.drop()
        # Opened by way of the root, but caps of the server that has them.
        source = await self.directory.directory(SOURCE, READ_WRITE)
        self.journal = await source.make_directory(pd.name)
        await source.drop()

    async def _round(self, pd: PD, number: int) -> None:
        await self._write(pd, self.directory, _file(pd, number), number)
        await self._mount(pd, number)
        for place, name in ((_place(number), "content"), ("", _file(pd, number))):
            self._check(await self._content(pd, place, name) == record(pd.name, number))
        if number >= LEFT:
            await self._unmount(pd, number - LEFT)
            await self._ask(pd, lambda: self.directory.remove(_file(pd, number - LEFT)))
        found = await self._ask(pd, self.directory.mounted)
        places = {_place(each) for each in range(max(0, number + 1 - LEFT), number + 1)}
        self._check(found is not None and {name for name in found if name.startswith("part ")} == places)

    async def _mount(self, pd: PD, number: int) -> None:
        """A new directory of the other server, with a file in it, under a name in the root."""
        part = await self._ask(pd, lambda: self.journal.make_directory(str(number)))
        if part is not None:
            await self._write(pd, part, "content", number)
            # The server that mounts it has a cap of its own, which does not end with this one.
            given = await self._ask(pd, part.derive)
            await self._ask(pd, lambda: self.directory.mount(_place(number), given))
            await given.forget()
            await self._ask(pd, part.drop)

    async def _unmount(self, pd: PD, number: int) -> None:
        await self._ask(pd, lambda: self.directory.unmount(_place(number)))
        part = await self._ask(pd, lambda: self.journal.directory(str(number), READ_WRITE))
        if part is not None:
            await self._ask(pd, lambda: part.remove("content"))
            await self._ask(pd, part.drop)
            await self._ask(pd, lambda: self.journal.remove(str(number)))

    async def _write(self, pd: PD, directory: Any, name: str, number: int) -> None:
        file = await self._ask(pd, lambda: directory.create(name))
        if file is not None:
            await self._ask(pd, lambda: file.write(0, record(pd.name, number)))
            await self._ask(pd, file.sync)
            await self._ask(pd, file.drop)

    async def _content(self, pd: PD, place: str, name: str) -> bytes | None:
        """What is read of a file that is found by its names from the root on."""
        directory = self.directory
        if place:
            directory = await self._ask(pd, lambda: self.directory.directory(place, READ))
        file = await self._ask(pd, lambda: directory.open(name, READ)) if directory is not None else None
        content: bytes | None = None
        if file is not None:
            content = await self._ask(pd, lambda: file.read(0, len(record(pd.name, 0))))
            await self._ask(pd, file.drop)
        if directory is not None and directory is not self.directory:
            await self._ask(pd, directory.drop)
        return content

    async def _try(self, pd: PD) -> None:
        await self._must_fail(pd, lambda: self.reader.unmount(SOURCE), NotPermitted)
        await self._must_fail(pd, lambda: self.former.info(""), Gone)

    async def _look(self, pd: PD, number: int) -> None:
        """Whether all names are there that are to be, and no others."""
        found = await self._names(pd, self.directory)
        names = {name for name in found if name.startswith(("part ", f"{pd.name} "))}
        left = range(max(0, number - LEFT), number)
        self._check(names == {_place(each) for each in left} | {_file(pd, each) for each in left})
        for each in left:
            self._check(await self._content(pd, _place(each), "content") == record(pd.name, each))
        self._check(await self._names(pd, self.journal) == {str(each) for each in left})

    async def _names(self, pd: PD, directory: Any) -> set[str]:
        """All names in a directory."""
        names: set[str] = set()
        position = 0
        while part := await self._ask(pd, partial(directory.list, position)):
            names |= {entry.name for entry in part}
            position += len(part)
        return names


def _place(number: int) -> str:
    return f"part {number}"


def _file(pd: PD, number: int) -> str:
    return f"{pd.name} {number}"


def _as_mounts(root: Any) -> Any:
    """The same cap, as one to a root in which something can be mounted."""
    return connect(Mounts, root.connection, root.cap, is_owned=True)
