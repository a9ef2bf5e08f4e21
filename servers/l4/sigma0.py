"""Sigma0: the initial address space, which has all memory at its own addresses and hands each page out once.

It holds a cap to the root space (``mapper``), and no frame. A client says which space a page is to be mapped to by
passing that space's cap, so nobody can be given pages by somebody who could not have mapped there himself.
"""

from typing import Any

from capkernel.abi.objects import PAGE_BITS
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Malformed
from capkernel.protocols.l4 import RWX, SPACE_BITS, Fpage, Sigma0, Sigma0Info, Space
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.l4.frame_table import FrameTable

ROOT_SPACE, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 310, 330


class Sigma0Servant(Sigma0):
    """The pages, for whoever has a session."""

    def __init__(self, root: Space, table: FrameTable) -> None:
        self.root = root
        self.table = table

    async def request(self, space: Space, fpage: Fpage, base: int) -> int:
        """These pages."""
        self.table.take(fpage)
        return await self.hand_over(space, fpage, base)

    async def any(self, space: Space, bits: int, base: int) -> Fpage:
        """Any pages."""
        if not PAGE_BITS <= bits <= SPACE_BITS:
            raise Malformed(f"there are no flexpages of 2**{bits} bytes")
        fpage = self.table.take_any(bits)
        await self.hand_over(space, fpage, base)
        return fpage

    async def hand_over(self, space: Any, fpage: Fpage, base: int) -> int:
        """Map what was taken; the cap to the client's space is not needed any more then.

        It is the mapper that is asked, and by sigma0's own cap: what a client calls its space might be anything, and
        must not be given the root space as an argument.
        """
        try:
            pages = await self.root.map(space, fpage, base)
        except Exception:
            # Some of them may have been mapped.
            await self.root.unmap(Fpage(fpage.address, fpage.bits, RWX), False)
            self.table.give_back(fpage)
            raise
        await space.forget()
        return pages

    async def info(self) -> Sigma0Info:
        """What is left."""
        return self.table.info


class Program:
    """The server."""

    make_table = FrameTable
    make_servant = Sigma0Servant

    def __init__(self) -> None:
        self.service: Any = None

    async def init(self, pd: PD) -> None:
        """See what there is, and serve."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        root = connect(Space, Connection(pd.sys, inbox), ROOT_SPACE)
        servant = self.make_servant(root, self.make_table(await root.memory()))
        self.service = Service(pd, roots=lambda session: servant, inbox=inbox)
        await self.service.open()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """Somebody asks."""
        return await self.service.protected(msg)
