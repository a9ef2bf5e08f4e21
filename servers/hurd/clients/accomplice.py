"""Says that whoever shows a cap to it is root: a forged auth server. What it is left it keeps for its friend."""

from typing import Any

from capkernel.protocols.failures import NotFound
from capkernel.protocols.hurd_auth import Acceptance, Claim, Ids, Rendezvous
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message
from servers.hurd.identities import Identity, Landed

ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
FRIEND = 2
ANYBODY = Ids((0, 1000), (100,))


class Forged(Identity, Rendezvous, Acceptance, Claim):
    """Everything at once."""

    def __init__(self, inbox: Inbox) -> None:
        super().__init__(Landed(inbox), ANYBODY)
        self.left = 0

    async def accept(self, claim: Claim) -> Acceptance:
        """Of course."""
        return self

    async def claim(self) -> Claim:
        """That is itself, too."""
        raise NotFound("show this one")

    async def leave(self, given: Cap) -> None:
        """Thank you."""
        self.left = given

    async def collect(self) -> Cap:
        """Here."""
        if not self.left:
            raise NotFound("nobody has left anything")
        return Cap(self.left)


class Program:
    """The accomplice."""

    def __init__(self) -> None:
        self.service: Any = None
        self.forged: Any = None

    async def init(self, pd: PD) -> None:
        """Serve whoever comes."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.forged = Forged(inbox)
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()

    def _root(self, session: int) -> Interface | None:
        forged: Interface = self.forged
        return forged if session == FRIEND else None

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """Somebody asks."""
        return await self.service.protected(msg)
