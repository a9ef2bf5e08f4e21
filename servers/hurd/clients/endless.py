"""A hostile translator: a directory without end, in each of whose directories there is another, and always more."""

from capkernel.protocols.files import Directory, Entry, Kind
from capkernel.user.process import Process
from servers.hurd.translator import Translator
from servers.hurd.translators.read_only import ReadOnly


class Endless(ReadOnly):
    """However long a list is asked for, and however deep."""

    async def directory(self, name: str, rights: int) -> Directory:
        """Another."""
        return Endless()

    async def list(self, start: int) -> list[Entry]:
        """More."""
        return [Entry(f"more{start}", Kind.DIRECTORY, 0), Entry("../out", Kind.FILE, start)]


async def main(process: Process) -> int:
    """Serve for ever."""
    return await Translator(process).serve(lambda rights: Endless())
