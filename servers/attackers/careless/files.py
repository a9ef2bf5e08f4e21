"""A RAM file server that walks along paths, reads where it is told to, and does not count what a client has open."""

from posixpath import join, normpath
from typing import Final

from capkernel.protocols.failures import WrongKind
from capkernel.protocols.files import READ, READ_WRITE, File, Kind
from capkernel.protocols.interface import Interface
from capkernel.user.loop import PD
from servers.storage import ram_server
from servers.storage.ram_server import CLIENTS, FIRST_READER
from servers.storage.tree import TreeDirectory, TreeFile

UNLIMITED: Final = 1 << 40


class TrustingFile(TreeFile):
    """A file of which any place may be read."""

    async def read(self, offset: int, size: int) -> bytes:
        """Bytes of it."""
        return await self.tree.volume.read(self.node.path, offset, size)


class WalkingDirectory(TreeDirectory):
    """A directory in which every path is a name."""

    async def open(self, name: str, rights: int) -> File:
        """A file, wherever it is."""
        path = normpath(join("/", self.node.path, name)).lstrip("/")
        node = self.tree.root
        for each in path.split("/"):
            node = await self.tree.find(node, each)
        if node.kind is not Kind.FILE:
            raise WrongKind(f"{name} is a directory")
        return TrustingFile(self.tree, node, self.limited(rights))


class Program(ram_server.Program):
    """The server."""

    async def init(self, pd: PD) -> None:
        """Serve, without counting."""
        await super().init(pd)
        self.service.limit = UNLIMITED

    def root(self, session: int) -> Interface | None:
        """What a client's own cap leads to."""
        if session not in CLIENTS:
            return None
        return WalkingDirectory(self.tree, self.tree.root, READ if session >= FIRST_READER else READ_WRITE)
