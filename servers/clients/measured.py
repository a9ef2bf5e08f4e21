"""Does one kind of file work after the other, and tells the host when each begins and ends: to be measured."""

from collections.abc import Awaitable, Callable
from typing import ClassVar

from capkernel.protocols.client import Connection
from capkernel.protocols.files import Directory, File
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import tell_host
from servers.neighbours import Asks, Uses, neighbour

region: int = 0
region_size: int = 0x1_0000
report: int = 0

FILES = 0
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
BLOCK = 4096
ROUNDS = 32
OTHER_BLOCKS = 192
"""Written before blocks are read: more than a file server keeps in memory."""
KINDS = ("read", "cached", "write", "create")
"""What is measured, one after the other: reads of a block from the disk; of the same blocks, which are in the server's
memory now; writes of a block, with a sync at the end; new, empty files. The host is told 2 n + 1 when the n-th begins,
and 2 n + 2 when it ends.
"""
Step = Callable[[int], Awaitable[None]]


class Program:
    """The client."""

    uses: ClassVar[Uses] = Uses(
        asks={BASE_ENDPOINT_CAP + FILES: Asks(Directory, to_change=True)},
        needs=frozenset({"report"}), shares=frozenset({"region"}),
    )  # fmt: skip

    async def init(self, pd: PD) -> None:
        """All kinds in turn."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox, SharedRegion(region, region_size))
        root = neighbour(Directory, pd, connection, BASE_ENDPOINT_CAP + FILES)
        file = await _filled(root, "measured", ROUNDS)
        await (await _filled(root, "other", OTHER_BLOCKS)).drop()
        steps = _steps(root, file)
        for index, kind in enumerate(KINDS):
            await tell_host(2 * index + 1)
            for number in range(ROUNDS):
                await steps[kind](number)
            await tell_host(2 * index + 2)
        await pd.store(report, 1)


async def _filled(root: Directory, name: str, blocks: int) -> File:
    file = await root.create(name)
    for number in range(blocks):
        await file.write(number * BLOCK, bytes(BLOCK))
    await file.sync()
    return file


def _steps(root: Directory, file: File) -> dict[str, Step]:
    """What one round of each kind is."""

    async def read(number: int) -> None:
        await file.read(number * BLOCK, BLOCK)

    async def write(number: int) -> None:
        await file.write(number * BLOCK, bytes((number,)) * BLOCK)
        if number == ROUNDS - 1:
            await file.sync()

    async def create(number: int) -> None:
        made = await root.create(f"file {number}")
        await made.drop()

    return {"read": read, "cached": read, "write": write, "create": create}
