"""A translator that is a directory with a file for each line of the file below it: the example of docs/hurd.md."""

from typing import Any

from capkernel.protocols.failures import NotFound
from capkernel.protocols.files import READ, Entry, File, Kind
from capkernel.user.process import Process
from servers.hurd.translator import Translator
from servers.hurd.translators.constant import Constant
from servers.hurd.translators.read_only import ReadOnly

SIZE = 700


class Lines(ReadOnly):
    """A directory: "1", "2", … are the lines."""

    def __init__(self, below: Any) -> None:
        self.below = below

    async def lines(self) -> list[bytes]:
        """Of the file, as it is now."""
        content: bytes = await self.below.read(0, SIZE)
        return content.splitlines(keepends=True)

    async def list(self, start: int) -> list[Entry]:
        """A name for each, eight at a time."""
        lines = list(enumerate(await self.lines(), 1))[start : start + 8]
        return [Entry(str(number), Kind.FILE, len(line)) for number, line in lines]

    async def open(self, name: str, rights: int) -> File:
        """A line."""
        for number, line in enumerate(await self.lines(), 1):
            if name == str(number):
                return await Constant(line).restrict(rights)
        raise NotFound(f"there is no line {name}")


async def main(process: Process) -> int:
    """Serve for ever."""
    translator = Translator(process)
    root = Lines(await translator.underlying(READ))
    return await translator.serve(lambda rights: root)
