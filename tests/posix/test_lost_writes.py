"""What was written, and went with the file server before it was made to last, is told at the next ``fsync``, once."""

import asyncio
from typing import Any

import pytest

from capkernel.protocols.failures import ServerDied
from capkernel.protocols.posix import O_RDWR, Errno
from servers.posix.descriptions import OpenFile, PosixError


class Server:
    """A file server in whose memory things are until they are synced; it dies when it is asked to die."""

    def __init__(self) -> None:
        self.memory, self.disk, self.dies = b"", b"", False

    def _live(self) -> None:
        if self.dies:
            self.dies, self.memory = False, self.disk
            raise ServerDied("as wanted")

    async def write(self, offset: int, data: bytes) -> None:
        self._live()
        self.memory = self.memory[:offset].ljust(offset, b"\0") + data

    async def sync(self) -> None:
        self._live()
        self.disk = self.memory


class File(OpenFile):
    """Opened anew without a tree of directories."""

    def __init__(self, server: Server) -> None:
        super().__init__(O_RDWR, Any, ("file",))
        self.file = server

    async def open(self) -> None:
        """The same server's next life."""


def synced(file: File) -> Errno | None:
    try:
        asyncio.run(file.sync())
    except PosixError as error:
        return error.errno
    return None


def test_fsync_fails_once_if_the_server_died_with_what_was_written() -> None:
    server = Server()
    file = File(server)
    asyncio.run(file.write(b"lost"))
    server.dies = True
    assert synced(file) is Errno.EIO
    assert server.disk == b""
    file.offset = 0
    asyncio.run(file.write(b"kept"))
    assert synced(file) is None
    assert server.disk == b"kept"


@pytest.mark.parametrize("writes", [0, 1])
def test_fsync_succeeds_if_nothing_was_lost(writes: int) -> None:
    server = Server()
    file = File(server)
    for _ in range(writes):
        asyncio.run(file.write(b"kept"))
        assert synced(file) is None
    server.dies = True
    assert synced(file) is None
    assert server.disk == b"kept" * writes
