"""What a client does to be somebody: a cap to a directory, with an identity."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure
from capkernel.protocols.hurd import Nodes
from capkernel.protocols.hurd_auth import Auth
from capkernel.protocols.interface import Cap


async def authenticated(auth: Auth, nodes: Nodes, connection: Connection) -> Nodes:
    """The same directory with the ids of ``auth``. Raises what ``Nodes.reauthenticate`` does; NotFound if the server
    left nothing.
    """
    meeting: Any = await auth.rendezvous()
    try:
        claim: Any = await meeting.claim()
        try:
            await nodes.reauthenticate(Cap(claim.cap))
        finally:
            await given_up(claim)
        return connect(Nodes, connection, await meeting.collect(), is_owned=True)
    finally:
        await given_up(meeting)


async def given_up(stub: Any) -> None:
    """Drop a cap, also if what it led to is gone."""
    try:
        await stub.drop()
    except Failure:
        await stub.forget()
