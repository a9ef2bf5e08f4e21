"""One client of many: reads 512 bytes of the one file that there is, again and again, and tells the host each time."""

from typing import Any

from capkernel.protocols.client import Connection
from capkernel.protocols.failures import AlreadyExists, NotFound, NotPermitted
from capkernel.protocols.files import READ, Directory
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.operations import tell_host
from servers.neighbours import neighbour

NAME, SIZE = "page", 512


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """For ever."""
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(301, 400, 500)))
        root: Any = neighbour(Directory, pd, connection, BASE_ENDPOINT_CAP)
        try:
            file = await root.create(NAME)
            await file.write(0, bytes(SIZE))
            await file.drop()
        except (AlreadyExists, NotPermitted):
            pass
        while True:
            try:
                file = await root.open(NAME, READ)
            except NotFound:
                await pd.sys.yield_()
            else:
                break
        while True:
            await file.read(0, SIZE)
            await tell_host(1)
