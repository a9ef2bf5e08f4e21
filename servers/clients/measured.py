"""Does one kind of file work again and again, and marks each time in its report: what the benchmark looks at."""

from collections.abc import Awaitable, Callable

from capkernel.protocols.client import Connection
from capkernel.protocols.files import Directory
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from servers.neighbours import neighbour

region: int = 0
region_size: int = 0x1_0000
report: int = 0

FILES = 0
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
BLOCK = 4096
ROUNDS = 32
KINDS = ("read", "write", "create")
"""What is measured, one after the other: reads of a block; writes of a block, then a sync; new, empty files."""
DONE = 0
"""The report: how many rounds of each kind have been done, a word each."""


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Over the file server."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox, SharedRegion(region, region_size))
        await self.work(pd, neighbour(Directory, pd, connection, BASE_ENDPOINT_CAP + FILES), report)

    async def work(self, pd: PD, root: Directory, report: int) -> None:
        """The same in any directory."""
        for index, kind in enumerate(KINDS):
            step = await self.prepared(kind, root)
            await pd.store(report + 8 * (index + 1), 1)
            for number in range(ROUNDS):
                await step(number)
            await pd.store(report + 8 * (index + 1), 2)

    async def prepared(self, kind: str, root: Directory) -> Callable[[int], Awaitable[None]]:
        """What one round of a kind is."""
        file = await root.create(f"for {kind}")
        for number in range(ROUNDS):
            await file.write(number * BLOCK, bytes(BLOCK))
        await file.sync()

        async def read(number: int) -> None:
            await file.read(number * BLOCK, BLOCK)

        async def write(number: int) -> None:
            await file.write(number * BLOCK, bytes((number,)) * BLOCK)
            if number == ROUNDS - 1:
                await file.sync()

        async def create(number: int) -> None:
            made = await root.create(f"file {number}")
            await made.drop()

        return {"read": read, "write": write, "create": create}[kind]
