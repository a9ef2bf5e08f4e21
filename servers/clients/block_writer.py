"""Writes a file of 64 blocks, makes it last, reads it again, and reports what went wrong: nothing should."""

from typing import ClassVar

from capkernel.protocols.client import Connection
from capkernel.protocols.failures import Failure
from capkernel.protocols.files import READ, Directory
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from servers.neighbours import Asks, Uses, neighbour

region: int = 0
region_size: int = 0x1_0000
report: int = 0

FILES = 0
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
BLOCKS, BLOCK = 64, 4096
DONE, ERRORS, WRONG, GOES_ON = 0, 8, 16, 24
"""Offsets of the words in the report: 1 at the end; requests that failed; blocks that were read otherwise than written;
1 if a file can be written and read after a failure.
"""


def content(number: int) -> bytes:
    """What a block is to contain."""
    return bytes((number * 7 + n * n) % 251 for n in range(256)) * (BLOCK // 256)


class Program:
    """The client."""

    uses: ClassVar[Uses] = Uses(
        asks={BASE_ENDPOINT_CAP + FILES: Asks(Directory, to_change=True)},
        needs=frozenset({"report"}), shares=frozenset({"region"}),
    )  # fmt: skip

    def __init__(self) -> None:
        self.errors = 0

    async def init(self, pd: PD) -> None:
        """Write, sync, read."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox, SharedRegion(region, region_size))
        await self.work(pd, neighbour(Directory, pd, connection, BASE_ENDPOINT_CAP + FILES), report)

    async def work(self, pd: PD, root: Directory, report: int) -> None:
        """The same in any directory."""
        wrong = 0
        try:
            await self._write(root)
            wrong = await self._count_wrong(root)
        except Failure as failure:
            self.errors += 1
            await pd.print(f"client: {type(failure).__name__}: {failure}\n")
            await pd.store(report + GOES_ON, int(await self._goes_on(root)))
        await pd.store(report + ERRORS, self.errors)
        await pd.store(report + WRONG, wrong)
        await pd.store(report + DONE, 1)

    async def _write(self, root: Directory) -> None:
        file = await root.create("blocks")
        for number in range(BLOCKS):
            await file.write(number * BLOCK, content(number))
        await file.sync()
        await file.drop()

    async def _goes_on(self, root: Directory) -> bool:
        file = await root.create("after")
        await file.write(0, content(0))
        await file.sync()
        return await file.read(0, BLOCK) == content(0)

    async def _count_wrong(self, root: Directory) -> int:
        file = await root.open("blocks", READ)
        wrong = [number for number in range(BLOCKS) if await file.read(number * BLOCK, BLOCK) != content(number)]
        await file.drop()
        return len(wrong)
