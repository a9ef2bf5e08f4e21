"""What a client does to be somebody: a cap to a directory, with an identity."""

from collections.abc import Awaitable
from typing import Any, TypeVar

from capkernel.protocols.again import insist
from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure, ServerDied
from capkernel.protocols.hurd import Nodes
from capkernel.protocols.hurd_auth import Auth
from capkernel.protocols.interface import Cap

T = TypeVar("T")


async def authenticated(auth: Auth, nodes: Nodes, connection: Connection) -> Nodes:
    """The same directory with the ids of ``auth``. If a server dies meanwhile it is begun anew.

    Raises what ``Nodes.reauthenticate`` does; NotFound if the server left nothing.
    """
    while True:
        meeting: Any = await insist(auth.rendezvous)
        try:
            return await after(meeting, _collected(meeting, nodes, connection))
        except ServerDied:
            continue


async def _collected(meeting: Any, nodes: Nodes, connection: Connection) -> Nodes:
    claim: Any = await insist(meeting.claim)
    await after(claim, nodes.reauthenticate(Cap(claim.cap)))
    collected: Any = await insist(meeting.collect)
    return connect(Nodes, connection, collected, is_owned=True)


async def after(stub: Any, work: Awaitable[T]) -> T:
    """Do something, and give a cap up when it is done or has failed: not when the program itself is ended meanwhile."""
    try:
        found = await work
    except Failure:
        await given_up(stub)
        raise
    await given_up(stub)
    return found


async def given_up(stub: Any) -> None:
    """Drop a cap, also if what it led to is gone, or its server dies over it."""
    try:
        await insist(stub.drop)
    except Failure:
        await stub.forget()
