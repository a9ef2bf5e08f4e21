"""Writes, syncs and checks files for ever: what it was told would last must last, whatever happens to the servers.

Eight files; of each it knows the version that was synced last, and the one that it was writing when something failed.
A version is two blocks that follow from the file's number and the version's. Both are in its report, too: should it die
itself, as in a domain with those whom it asks, its next life looks whether what it was told is so.
"""

from typing import ClassVar

from capkernel.protocols.client import Connection
from capkernel.protocols.failures import NotFound
from capkernel.protocols.files import READ, READ_WRITE, Directory, File
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from servers.clients.churning import Churning
from servers.neighbours import Asks, Uses, neighbour

region: int = 0
region_size: int = 0x1_0000
report: int = 0

FILES = 0
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
COUNT, SIZE = 8, 8192
SYNCED, BEGUN = 32, 96
"""Offsets in the report, behind the counts: the versions of each file."""


def content(file: int, version: int) -> bytes:
    """What a file is to contain."""
    seed = (file * 8191 + version * 131) % 65521
    return bytes((seed + n * n * (version % 7 + 1)) % 251 for n in range(512)) * (SIZE // 512)


class Program(Churning):
    """The client."""

    uses: ClassVar[Uses] = Uses(
        asks={BASE_ENDPOINT_CAP + FILES: Asks(Directory, to_change=True)},
        needs=frozenset({"report"}), shares=frozenset({"region"}),
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.synced = [0] * COUNT
        self.begun = [0] * COUNT

    async def init(self, pd: PD) -> None:
        """For ever: write one file, check another."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox, SharedRegion(region, region_size))
        root = neighbour(Directory, pd, connection, BASE_ENDPOINT_CAP + FILES)
        for known, offset in ((self.synced, SYNCED), (self.begun, BEGUN)):
            known[:] = [await pd.load(report + offset + 8 * number) for number in range(COUNT)]
        await self.forever(
            pd, report, lambda: self._write(pd, root, self.rounds % COUNT),
            lambda: self._check(root, (self.rounds * 5 + 3) % COUNT),
        )  # fmt: skip

    async def _write(self, pd: PD, root: Directory, number: int) -> None:
        self.begun[number] = self.rounds + 1
        await pd.store(report + BEGUN + 8 * number, self.begun[number])
        file = await self._opened(root, number)
        await file.write(0, content(number, self.begun[number]))
        await file.sync()
        self.synced[number] = self.begun[number]
        await pd.store(report + SYNCED + 8 * number, self.synced[number])
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
