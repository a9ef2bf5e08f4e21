"""Has a letter and a diary."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.files import Directory
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD

OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 330, 500


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Write both."""
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        files: Any = connect(Directory, connection, BASE_ENDPOINT_CAP)
        for name in ("letter", "diary"):
            await (await files.create(name)).write(0, f"dear {name}, ".encode())

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
