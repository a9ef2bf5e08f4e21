"""An archive that takes a path for a grant: it serves whoever knows its name, and shows what the rule is for."""

from capkernel.protocols.qnx_paths import Access, OpenResource, Resource
from servers.composition.archive import ArchiveServer, opened
from servers.composition.paged_file import PagedFile
from servers.hurd.translators.lines import Lines


class OpenPlace(Resource):
    """A place that opens."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines

    async def open(self, rest: str, access: Access) -> OpenResource:
        """Whoever asks gets it."""
        return await opened(self.lines, rest, access)


class Program(ArchiveServer):
    """The server."""

    def make_place(self, file: PagedFile) -> Resource:
        """What is attached."""
        return OpenPlace(Lines(file))
