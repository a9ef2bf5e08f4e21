"""Where pages are that have no room in memory: files of a directory, or a disk of the pager's own.

Places are numbered from 0 on. What is in them is of no use after the power went: who had it is gone, too. So nothing is
flushed.
"""

from typing import Any, Final, Protocol

from capkernel.protocols.block import SECTOR, Block
from capkernel.protocols.failures import DeviceError, NotFound
from capkernel.protocols.files import READ, READ_WRITE, Directory
from capkernel.protocols.memory import PAGE
from capkernel.user.messages import SharedRegion
from servers.storage.disk import Disk
from servers.system.funds import Refound, let_go

SWAP: Final = "swap"
_SECTORS: Final = PAGE // SECTOR


class Swap(Protocol):
    """Places for pages."""

    async def has(self, slot: int) -> bool:
        """Whether there is such a place. Raises DeviceError."""
        ...

    async def read(self, slot: int) -> bytes:
        """What was written there. Raises failures."""
        ...

    async def write(self, slot: int, data: bytes) -> None:
        """Write a page. Raises failures."""
        ...


class SwapFiles:
    """A directory: a file for each page, because a file system rewrites what is behind. Its server may die."""

    def __init__(self, root: Directory) -> None:
        self._directory = Refound(lambda: _open(root))

    async def has(self, slot: int) -> bool:
        """As many as the file system has room for; that is seen when one is written."""
        return True

    async def read(self, slot: int) -> bytes:
        """From its file."""
        return await self._directory.ask(lambda directory: _read(directory, slot))

    async def write(self, slot: int, data: bytes) -> None:
        """Into its file."""
        await self._directory.ask(lambda directory: _write(directory, slot, data))


class SwapDisk:
    """A disk, or the part of one to which ``block`` leads: all of it is the pager's. Its driver may die."""

    def __init__(self, block: Block, transfer: SharedRegion) -> None:
        self._disk = Disk(block, transfer)
        self._is_open = False

    async def has(self, slot: int) -> bool:
        """As many as there are whole pages."""
        disk = await self._open()
        return slot < disk.sectors // _SECTORS

    async def read(self, slot: int) -> bytes:
        """From its sectors."""
        disk = await self._open()
        return await disk.read(slot * _SECTORS, _SECTORS)

    async def write(self, slot: int, data: bytes) -> None:
        """Into its sectors."""
        disk = await self._open()
        await disk.write(slot * _SECTORS, data.ljust(PAGE, b"\0"))

    async def _open(self) -> Disk:
        if not self._is_open:
            await self._disk.open()
            if self._disk.is_read_only:
                raise DeviceError(f"{self._disk.name} can only be read; pages cannot be put there")
            self._is_open = True
        return self._disk


async def _open(root: Directory) -> Directory:
    try:
        return await root.directory(SWAP, READ_WRITE)
    except NotFound:
        return await root.make_directory(SWAP)


async def _write(directory: Directory, slot: int, data: bytes) -> None:
    file: Any
    try:
        file = await directory.open(str(slot), READ_WRITE)
    except NotFound:
        file = await directory.create(str(slot))
    try:
        await file.write(0, data)
        await file.drop()
    finally:
        await let_go(file)


async def _read(directory: Directory, slot: int) -> bytes:
    file = await directory.open(str(slot), READ)
    try:
        data = await file.read(0, PAGE)
        await file.drop()
        return data
    finally:
        await let_go(file)
