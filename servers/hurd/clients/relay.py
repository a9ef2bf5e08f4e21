"""A server that means no good: it hands claims on, shows them twice, forges some, and asks for more than it has."""

from typing import Any

from capkernel.protocols.again import insist
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.hurd import Nodes
from capkernel.protocols.hurd_auth import Auth, Ids, Rendezvous
from capkernel.protocols.interface import Cap
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.syscalls import Message
from servers.hurd.clients.believer import diary
from servers.hurd.clients.handing import Hands
from servers.hurd.clients.notes import Notes
from servers.hurd.proving import authenticated

AUTH, ACCOMPLICE, ALICE = 3, 4, 5
"""Channels: to the auth server, to the accomplice; signals from the other client, who calls on ``CLIENT``."""
ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
NODES, FORGED, ASKED = 311, 312, 313
"""Caps to the file server, the accomplice and the auth server, by which caps can be handed over."""
CLIENT = 2


class Program(Hands):
    """The attacker."""

    report: int = 0

    def __init__(self) -> None:
        self.service: Any = None
        self.notes: Any = None
        self.connection: Any = None
        self.nodes: Any = None
        self.auth: Any = None

    async def init(self, pd: PD) -> None:
        """Wait for a client."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        self.notes = Notes(pd, self.report)
        self.connection = Connection(pd.sys, inbox)
        self.nodes = connect(Nodes, self.connection, NODES)
        self.auth = connect(Auth, self.connection, BASE_ENDPOINT_CAP + AUTH)
        self.service = Service(
            pd, roots=lambda session: self if session == CLIENT else None, endpoint=ENDPOINT, inbox=inbox
        )
        await self.service.open()

    async def take(self, cap: Cap) -> None:
        """A claim: hand it on as one's own, and once more; look for what it is worth."""
        notes = self.notes
        await notes.tried("hands it on", insist(self.nodes.reauthenticate, cap))
        await notes.note("is then", (await self.nodes.ids()).uids)
        await notes.tried("collects", insist(connect(Rendezvous, self.connection, cap).collect))
        await notes.tried("asks its ids", insist(connect(Auth, self.connection, cap).ids))
        await notes.tried("shows it again", insist(self.nodes.reauthenticate, cap))
        await notes.tried("accepts it itself", insist(connect(Auth, self.connection, ASKED).accept, self.stub(cap)))

    def stub(self, cap: int) -> Any:
        """A cap as a claim."""
        return connect(Rendezvous, self.connection, cap)

    async def notified(self, pd: PD, ch: int) -> None:
        """The client has come to its end."""
        notes = self.notes
        mine = await authenticated(self.auth, self.nodes, self.connection)
        await notes.note("own", (await mine.ids()).uids)
        await notes.tried("diary as oneself", diary(mine))
        await notes.tried("more ids", insist(self.auth.make, Ids((1001, 1000), ())))
        await notes.tried("keeps", self.kept(mine))
        await notes.tried("shows its identity", insist(self.nodes.reauthenticate, Cap(self.auth.cap)))
        await notes.tried("forges", insist(self.nodes.reauthenticate, Cap(FORGED)))
        await notes.tried("as forged", self.forged())
        await notes.over()

    async def kept(self, mine: Nodes) -> tuple[int, ...]:
        """Ask for ids in giving up."""
        return (await (await mine.restrict_ids(Ids((1000, 0), ()))).ids()).uids

    async def forged(self) -> bytes:
        """What the forged identity was left."""
        try:
            cap = await connect(Rendezvous, self.connection, FORGED).collect()
        except Failure:
            return b"nothing"
        return await diary(connect(Nodes, self.connection, cap, is_owned=True))

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """The client calls."""
        return await self.service.protected(msg)
