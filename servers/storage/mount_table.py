"""A root directory made of several: names that are mounted, and a base for all others.

Everything but the root itself is handed on: what is opened is a cap of the server that has it, derived so that memory
shared between that server and this one stays theirs.
"""

from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, TypeVar, cast

from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.failures import AlreadyExists, Busy, Gone, Malformed, NotFound, NotPermitted, WrongKind
from capkernel.protocols.files import READ, READ_WRITE, WRITE, Directory, Entry, File, Info, Kind, Space, checked_name
from capkernel.protocols.interface import Interface
from capkernel.protocols.mounts import Mounts
from servers.neighbours import forget
from servers.system.lasting_slots import LastingSlots

I = TypeVar("I", bound=Interface)  # noqa: E741


class MountTable:
    """What is mounted, and below it the base.

    ``lasting`` is where caps are kept that somebody mounted, if they are to outlive this program.
    """

    def __init__(self, base: Directory, lasting: LastingSlots | None = None) -> None:
        self.base = base
        self.mounts: dict[str, Directory] = {}
        self.lasting = lasting

    async def put(self, name: str, directory: Directory) -> None:
        """Mount something."""
        if self.lasting is not None and isinstance(directory, Stub) and directory.connection.inbox is not None:
            slot = await self.lasting.take(directory.connection.inbox, directory.cap)
            directory.is_owned = False
            directory = self.found_at(slot, directory.connection)
        self.mounts[name] = directory

    def found_at(self, slot: int, connection: Connection) -> Directory:
        """What a lasting slot leads to. Raises ValueError if there are no such slots."""
        if self.lasting is None:
            raise ValueError("there are no slots that last")
        return connect(Directory, connection, self.lasting.address(slot))

    async def let_go(self, directory: Directory) -> None:
        """Close what was opened below something, and give it up."""
        with suppress(Gone):
            await directory.revoke()
            await directory.drop()
        if self.lasting is not None and isinstance(directory, Stub):
            slot = self.lasting.slot_of(directory.cap)
            if slot is not None:
                await self.lasting.empty(slot)


class MountsServant(Mounts):
    """The root, with a cap's rights."""

    def __init__(self, table: MountTable, rights: int) -> None:
        self.table = table
        self.rights = rights

    async def open(self, name: str, rights: int) -> File:
        """A file of the base."""
        self._need(rights)
        if name in self.table.mounts:
            raise WrongKind(f"{name} is a directory")
        return await handed_on(self.table.base.open(name, rights))

    async def create(self, name: str) -> File:
        """A new file of the base."""
        self._need_free(name)
        return await handed_on(self.table.base.create(name))

    async def directory(self, name: str, rights: int) -> Directory:
        """What is mounted there, or a directory of the base."""
        self._need(rights)
        mounted = self.table.mounts.get(name)
        return await handed_on(mounted.restrict(rights) if mounted else self.table.base.directory(name, rights))

    async def make_directory(self, name: str) -> Directory:
        """A new directory of the base."""
        self._need_free(name)
        return await handed_on(self.table.base.make_directory(name))

    async def list(self, start: int) -> list[Entry]:
        """What is mounted, then the base without what that hides."""
        self._need(READ)
        if start < 0:
            raise Malformed(f"numbers are 0 or more, not {start}")
        mounted = [Entry(name, Kind.DIRECTORY, 0) for name in sorted(self.table.mounts)]
        if start < len(mounted):
            return mounted[start : start + 8]
        # The numbers of the base's names go on behind; hidden ones are left out, and their numbers with them.
        found: list[Entry] = []
        position = start - len(mounted)
        while not found and (part := await self.table.base.list(position)):
            found = [entry for entry in part if entry.name not in self.table.mounts]
            position += len(part)
        return found

    async def info(self, name: str) -> Info:
        """What a name leads to."""
        self._need(READ)
        if not name or name in self.table.mounts:
            return Info(Kind.DIRECTORY, 0, self.rights)
        return await self.table.base.info(name)

    async def remove(self, name: str) -> None:
        """Remove something of the base."""
        self._need_free(name)
        await self.table.base.remove(name)

    async def rename(self, name: str, to: Directory, new_name: str) -> None:
        """Move something of the base, within the root or into a directory of the base's server."""
        self._need_free(name)
        if isinstance(to, MountsServant):
            to._need_free(new_name)
            to = self.table.base
        await self.table.base.rename(name, to, new_name)
        if to is not self.table.base:
            await forget(to)

    async def space(self) -> Space:
        """Room in the base."""
        return await self.table.base.space()

    async def restrict(self, rights: int) -> Directory:
        """The same with fewer rights."""
        self._need(rights)
        return MountsServant(self.table, rights)

    async def adopt(self, file: File, rights: int) -> File:
        """Another cap to a file of the base."""
        self._need(rights)
        adopted = await handed_on(self.table.base.adopt(file, rights))
        await forget(file)
        return adopted

    async def mount(self, name: str, directory: Directory) -> None:
        """Put a directory under a name."""
        self._need(WRITE)
        if checked_name(name) in self.table.mounts:
            raise AlreadyExists(f"something is mounted at {name}")
        if isinstance(directory, MountsServant):
            raise Malformed("the root cannot be mounted in itself")
        await directory.info("")
        await self.table.put(name, directory)

    async def unmount(self, name: str) -> None:
        """Take it away."""
        self._need(WRITE)
        directory = self.table.mounts.pop(name, None)
        if directory is None:
            raise NotFound(f"nothing is mounted at {name}")
        await self.table.let_go(directory)

    async def mounted(self) -> tuple[str, ...]:
        """The names of what is mounted."""
        self._need(READ)
        return tuple(sorted(self.table.mounts))

    def _need(self, rights: int) -> None:
        if not 0 <= rights <= READ_WRITE:
            raise Malformed(f"rights are {READ} (read), {WRITE} (write) or both, not {rights}")
        if rights & ~self.rights:
            raise NotPermitted("this cap does not allow that")

    def _need_free(self, name: str) -> None:
        """To change what a name is it must be the base's."""
        self._need(WRITE)
        if name in self.table.mounts:
            raise Busy(f"something is mounted at {name}")


async def handed_on(opening: Awaitable[I]) -> I:
    """A cap for somebody else to what is opened; it is given up here when it has been sent."""
    opened: Any = await opening
    if not isinstance(opened, Stub):
        return cast(I, opened)
    derived = await opened.derive()
    await opened.drop()
    return cast(I, derived)
