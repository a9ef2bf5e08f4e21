"""Fills a directory step by step, and at each size opens, makes and lists files; tells the host what it is at."""

from typing import Any

from capkernel.protocols.client import Connection
from capkernel.protocols.files import Directory
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.operations import tell_host
from servers.neighbours import neighbour

region: int = 0
region_size: int = 0x1_0000
report: int = 0

SIZES = (10, 100, 400)
KINDS = ("open", "create", "list")
ROUNDS = 10


class Program:
    """The client. The host is told 2 n + 1 when the n-th measurement begins, and 2 n + 2 when it ends."""

    async def init(self, pd: PD) -> None:
        """Over the file server."""
        inbox = Inbox(pd.sys, SlotAllocator(301, 400, 500))
        connection = Connection(pd.sys, inbox, SharedRegion(region, region_size))
        root: Any = neighbour(Directory, pd, connection, BASE_ENDPOINT_CAP)
        mark = there = 0
        for size in SIZES:
            for number in range(there, size):
                await self._make(root, f"file {number}")
            there = size
            for kind in KINDS:
                mark += 1
                await tell_host(mark)
                for number in range(ROUNDS):
                    await self._do(kind, root, size, number)
                mark += 1
                await tell_host(mark)
            for number in range(ROUNDS):
                await root.remove(f"new {number}")

    async def _do(self, kind: str, root: Directory, size: int, number: int) -> None:
        if kind == "open":
            file = await root.open(f"file {number * size // ROUNDS}", 1)
            await file.drop()
        elif kind == "create":
            await self._make(root, f"new {number}")
        else:
            await root.list(number * size // ROUNDS)

    async def _make(self, root: Directory, name: str) -> None:
        file = await root.create(name)
        await file.drop()
