"""A mount server that asks whoever is behind a cap what he is, and keeps the cap."""

from capkernel.protocols.failures import WrongKind
from capkernel.protocols.files import READ, READ_WRITE, File, Kind
from capkernel.protocols.interface import Interface
from servers.storage import mount_server
from servers.storage.mount_server import CLIENTS, FIRST_READER
from servers.storage.mount_table import MountsServant, handed_on


class AskingServant(MountsServant):
    """The root."""

    async def adopt(self, file: File, rights: int) -> File:
        """Another cap to a file of the base."""
        if (await file.info()).kind is not Kind.FILE:
            raise WrongKind("this is no file")
        return await handed_on(self.table.base.adopt(file, rights))


class Program(mount_server.Program):
    """The server."""

    def root(self, session: int) -> Interface | None:
        """What a client's own cap leads to."""
        if session not in CLIENTS:
            return None
        return AskingServant(self.table, READ if session >= FIRST_READER else READ_WRITE)
