"""A file in memory that is the same for everybody, whoever serves it: what ``read`` and ``info`` answer."""

from capkernel.protocols.failures import Malformed, NotPermitted
from capkernel.protocols.files import READ, File, Info, Kind


class Constant(File):
    """A file with this content, which nobody can change."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def info(self) -> Info:
        """Its size."""
        return Info(Kind.FILE, len(self.content), READ)

    async def read(self, offset: int, size: int) -> bytes:
        """Bytes of it."""
        if offset < 0 or size < 0:
            raise Malformed("offsets and sizes are 0 or more")
        return self.content[offset : offset + size]

    async def write(self, offset: int, data: bytes) -> None:
        """No."""
        raise NotPermitted("this file cannot be changed")

    async def resize(self, size: int) -> None:
        """No."""
        raise NotPermitted("this file cannot be changed")

    async def sync(self) -> None:
        """Nothing to do."""

    async def restrict(self, rights: int) -> File:
        """The same: there is nothing to take away."""
        if rights & ~READ:
            raise NotPermitted("this file cannot be changed")
        return self
