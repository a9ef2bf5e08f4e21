"""Puts files on the disk for the web server: a page, a large file, a directory. What is there already stays."""

from random import Random
from typing import ClassVar

from capkernel.protocols.client import Connection
from capkernel.protocols.failures import AlreadyExists, Failure
from capkernel.protocols.files import Directory
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
DONE, ERRORS = 0, 8
"""Offsets of the words in the report: 1 at the end; what failed."""
PIECE = 16_384
BIG_BYTES = 120_000
INDEX = b"<!doctype html><title>capkernel</title><p>A page out of a file server, by a web server, in user space.\n"
NOTE = b"below\n"


def big() -> bytes:
    """What is in the large file."""
    return Random(2).randbytes(BIG_BYTES)


class Program:
    """The publisher."""

    uses: ClassVar[Uses] = Uses(
        asks={BASE_ENDPOINT_CAP + FILES: Asks(Directory, to_change=True)},
        needs=frozenset({"report"}), shares=frozenset({"region"}),
    )  # fmt: skip

    async def init(self, pd: PD) -> None:
        """Write, and make it last."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        connection = Connection(pd.sys, inbox, SharedRegion(region, region_size))
        root = neighbour(Directory, pd, connection, BASE_ENDPOINT_CAP + FILES)
        errors = 0
        try:
            await _publish(root, "index.html", INDEX)
            await _publish(root, "big.bin", big())
            await _publish(await _directory(root, "notes"), "note.txt", NOTE)
        except Failure as failure:
            errors += 1
            await pd.print(f"{pd.name}: {type(failure).__name__}: {failure}\n")
        await pd.store(report + ERRORS, errors)
        await pd.store(report + DONE, 1)


async def _directory(root: Directory, name: str) -> Directory:
    try:
        return await root.make_directory(name)
    except AlreadyExists:
        return await root.directory(name, 3)


async def _publish(directory: Directory, name: str, content: bytes) -> None:
    try:
        file = await directory.create(name)
    except AlreadyExists:
        return
    for start in range(0, len(content), PIECE):
        await file.write(start, content[start : start + PIECE])
    await file.sync()
    await file.drop()
