"""A company's archive: the Hurd's ``lines`` on a file in paged memory, attached to a path as QNX's servers are.

Its clients' sessions are numbered as a node server numbers a translator's (``hurd.translator_session``): the rights are
in the number. Who comes by the path has the number without any right, and finds a place that does not open; who was
granted the directory has one with the right to read, and may show it that place.
"""

from contextlib import suppress
from typing import Any, Final

from capkernel.protocols.composition import PathDirectory
from capkernel.protocols.failures import NotPermitted, ServerDied
from capkernel.protocols.files import READ
from capkernel.protocols.hurd import FIRST_SESSION, rights_of
from capkernel.protocols.interface import Interface
from capkernel.protocols.qnx_paths import MAX_DATA, Access, OpenResource, Resource
from capkernel.user.loop import PD
from servers.composition.paged_file import PagedFile
from servers.hurd.translators.lines import Lines
from servers.qnx.resource_manager import Attach, ByteResource, ResourceManager

PATHS, SUPERVISOR = 0, 1
"""Channels."""
WINDOW: Final = 0x3000_0000
"""Where the pager lets it have memory."""
TRIES: Final = 8


class Place(Resource):
    """What is attached to the path: it says where the directory is, and opens nothing."""

    async def open(self, rest: str, access: Access) -> OpenResource:
        """No."""
        raise NotPermitted("a path is no grant: show this to the directory that you were granted")


class Archive(Lines, PathDirectory):
    """The directory, for who was granted it. ``place`` is where its path leads."""

    def __init__(self, below: Any, place: Resource) -> None:
        super().__init__(below)
        self.place = place

    async def open_path(self, resource: Resource, rest: str, access: Access) -> OpenResource:
        """A line, as a session with a position."""
        if resource is not self.place:
            raise NotPermitted("this path does not lead to what was granted")
        return await opened(self, rest, access)


async def opened(lines: Lines, rest: str, access: Access) -> OpenResource:
    """A session with a line. Raises NotFound, NotPermitted."""
    content = await (await lines.open(rest, READ)).read(0, MAX_DATA)
    return await ByteResource(content, is_writable=False).open("", access)


class ArchiveServer(ResourceManager):
    """The server. ``original`` is what it begins with when nothing was kept, ``at`` the path."""

    original: int = 0
    original_size: int = 0x1000

    def __init__(self) -> None:
        super().__init__()
        self.archive: Any = None

    async def resources(self, pd: PD) -> list[Attach]:
        """Its own path, which is its domain's name."""
        file = PagedFile(pd, WINDOW)
        await file.keep((await pd.read(self.original, self.original_size)).rstrip(b"\0"))
        place = self.make_place(file)
        self.archive = Archive(file, place)
        await pd.notify(SUPERVISOR)
        return [Attach(f"/srv/{pd.name}", place, is_directory=True)]

    def make_place(self, file: PagedFile) -> Resource:
        """What is attached."""
        return Place()

    def _root(self, session: int) -> Interface | None:
        may_read = session >= FIRST_SESSION and rights_of(session) & READ
        return self.archive if may_read else super()._root(session)

    async def attach(self, pd: PD) -> None:
        """Attach, and again if the path manager dies meanwhile. Raises ServerDied if it does so again and again."""
        for _ in range(TRIES):
            with suppress(ServerDied):
                return await super().attach(pd)
        raise ServerDied("the path manager does not answer")

    async def notified(self, pd: PD, ch: int) -> None:
        """A sign of life is wanted; or the path manager knows no paths any more."""
        if ch == PATHS:
            await self.attach(pd)
        else:
            await pd.notify(SUPERVISOR)
        await super().notified(pd, ch)


class Program(ArchiveServer):
    """The server that asks for a grant."""
