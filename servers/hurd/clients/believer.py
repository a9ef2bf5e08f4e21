"""Proves who it is to two file servers with two auth servers, and to a server that means no good."""

from typing import Any

from capkernel.protocols.again import insist
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.files import READ
from capkernel.protocols.hurd import Nodes
from capkernel.protocols.hurd_auth import Auth
from capkernel.protocols.interface import Cap
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from servers.hurd.clients.handing import Hands
from servers.hurd.clients.notes import Notes
from servers.hurd.proving import authenticated

report: int = 0

AUTH, OTHER_AUTH, MALLORY = 3, 4, 5
"""Channels: to the two auth servers; signals to and from the other one."""
OWN_CNODE, FIRST_SLOT, END_SLOT = 301, 400, 500
NODES, OTHER_NODES, HANDS = 311, 312, 313
"""Caps to the two file servers and to the server that means no good, by which caps can be handed over."""


class Program:
    """The client."""

    async def init(self, pd: PD) -> None:
        """Prove it here and there."""
        notes = Notes(pd, report)
        connection = Connection(pd.sys, Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT)))
        auth = connect(Auth, connection, BASE_ENDPOINT_CAP + AUTH)
        other = connect(Auth, connection, BASE_ENDPOINT_CAP + OTHER_AUTH)
        nodes, others = connect(Nodes, connection, NODES), connect(Nodes, connection, OTHER_NODES)
        await notes.note("at first", (await nodes.ids()).uids)
        await notes.note("own", await uids(auth))
        await notes.note("other own", await uids(other))
        mine = await authenticated(auth, nodes, connection)
        await notes.note("proved", (await mine.ids()).uids)
        await notes.note("the cap from before", (await nodes.ids()).uids)
        await notes.tried("diary", diary(mine))
        await notes.tried("diary as nobody", diary(nodes))
        theirs = await authenticated(other, others, connection)
        await notes.note("proved to the other", (await theirs.ids()).uids)
        await notes.tried("other's diary", diary(theirs))
        await notes.tried("other identity", authenticated(other, nodes, connection))
        await notes.tried("identity at the other", authenticated(auth, others, connection))
        await notes.tried("joined", insist(auth.join, other))
        # A server that means no good asks for a claim, as every server may.
        meeting: Any = await insist(auth.rendezvous)
        claim: Any = await insist(meeting.claim)
        await connect(Hands, connection, HANDS).take(Cap(claim.cap))
        await notes.tried("came to its owner", self.came(meeting, connection))
        await notes.over()
        await pd.notify(MALLORY)

    async def came(self, meeting: Any, connection: Connection) -> tuple[int, ...]:
        """As whom one is where the claim was handed on to."""
        collected: Any = await insist(meeting.collect)
        return (await connect(Nodes, connection, collected, is_owned=True).ids()).uids


async def uids(auth: Auth) -> tuple[int, ...]:
    """Of an identity."""
    found: Any = await insist(auth.ids)
    held: tuple[int, ...] = found.uids
    return held


async def diary(root: Nodes) -> bytes:
    """What is in it. Raises failures."""
    file: Any = await (await (await root.directory("home", READ)).directory("alice", READ)).open("diary", READ)
    content: bytes = await file.read(0, 64)
    return content
