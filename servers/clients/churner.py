"""Writes, syncs and checks files for ever: what it was told would last must last, whatever happens to the servers.

Eight files; of each it knows the version that was synced last, and the one that it was writing when something failed.
A version is two blocks that follow from the file's number and the version's.
"""

from collections.abc import Awaitable, Callable

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure, Gone, NotFound, ServerDied
from capkernel.protocols.files import READ, READ_WRITE, Directory, File
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import tell_host

region: int = 0
region_size: int = 0x1_0000
report: int = 0

FILES = 0
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
COUNT, SIZE = 8, 8192
ROUNDS, LOST, ERRORS, RETRIES = 0, 8, 16, 24
"""Offsets in the report: rounds so far; files that were not as synced; failures seen; requests made again because the
server was started anew.
"""
TRIES = 100
Work = Callable[[Directory, int], Awaitable[None]]


def content(file: int, version: int) -> bytes:
    """What a file is to contain."""
    seed = (file * 8191 + version * 131) % 65521
    return bytes((seed + n * n * (version % 7 + 1)) % 251 for n in range(512)) * (SIZE // 512)


class Program:
    """The client."""

    def __init__(self) -> None:
        self.synced = [0] * COUNT
        self.begun = [0] * COUNT
        self.rounds = self.lost = self.errors = self.retries = 0

    async def init(self, pd: PD) -> None:
        """For ever: write one file, check another."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox, SharedRegion(region, region_size))
        await self.work(pd, connect(Directory, connection, BASE_ENDPOINT_CAP + FILES), report)

    async def work(self, pd: PD, root: Directory, report: int) -> None:
        """The same in any directory."""
        while True:
            number = self.rounds % COUNT
            await self._try(pd, root, number, self._write)
            await self._try(pd, root, (number * 5 + 3) % COUNT, self._check)
            self.rounds += 1
            for offset, value in ((LOST, self.lost), (ERRORS, self.errors), (RETRIES, self.retries)):
                await pd.store(report + offset, value)
            await pd.store(report + ROUNDS, self.rounds)
            await tell_host(self.rounds)

    async def _try(self, pd: PD, root: Directory, number: int, work: Work) -> None:
        """Do something until it is done; again when the server was started anew meanwhile."""
        for _ in range(TRIES):
            try:
                await work(root, number)
            except (ServerDied, Gone):
                self.retries += 1
            except Failure as failure:
                self.errors += 1
                await pd.print(f"churner: {type(failure).__name__}: {failure}\n")
                return
            else:
                return

    async def _write(self, root: Directory, number: int) -> None:
        self.begun[number] = self.rounds + 1
        file = await self._opened(root, number)
        await file.write(0, content(number, self.begun[number]))
        await file.sync()
        self.synced[number] = self.begun[number]
        await file.drop()

    async def _opened(self, root: Directory, number: int) -> File:
        try:
            return await root.open(f"file {number}", READ_WRITE)
        except NotFound:
            return await root.create(f"file {number}")

    async def _check(self, root: Directory, number: int) -> None:
        if not self.synced[number]:
            return
        try:
            file = await root.open(f"file {number}", READ)
        except NotFound:
            self.lost += 1
            return
        found = await file.read(0, SIZE)
        await file.drop()
        versions = {self.synced[number], self.begun[number]}
        if found not in [content(number, version) for version in versions]:
            self.lost += 1
            self.synced[number] = 0
