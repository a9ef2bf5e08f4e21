"""A filter: the file below it in upper case. What is written to it is written as it is, with the right to write."""

from typing import Any

from capkernel.protocols.failures import NotPermitted
from capkernel.protocols.files import READ, READ_WRITE, WRITE, File, Info
from capkernel.user.process import Process
from servers.hurd.translator import Translator


class Upper(File):
    """The file below, for a client with some rights."""

    def __init__(self, below: File, rights: int) -> None:
        self.below = below
        self.rights = rights

    def _need(self, right: int) -> None:
        if right & ~self.rights:
            raise NotPermitted("this cap does not allow that")

    async def info(self) -> Info:
        """As large as the one below."""
        found = await self.below.info()
        return Info(found.kind, found.size, self.rights)

    async def read(self, offset: int, size: int) -> bytes:
        """In upper case."""
        self._need(READ)
        return (await self.below.read(offset, size)).upper()

    async def write(self, offset: int, data: bytes) -> None:
        """As it is."""
        self._need(WRITE)
        await self.below.write(offset, data)

    async def resize(self, size: int) -> None:
        """Of the one below."""
        self._need(WRITE)
        await self.below.resize(size)

    async def sync(self) -> None:
        """The one below."""
        await self.below.sync()

    async def restrict(self, rights: int) -> File:
        """The same with fewer rights."""
        self._need(rights)
        return Upper(self.below, rights)


async def main(process: Process) -> int:
    """Serve for ever."""
    translator = Translator(process)
    below: Any = await translator.underlying(READ_WRITE)
    return await translator.serve(lambda rights: Upper(below, rights))
