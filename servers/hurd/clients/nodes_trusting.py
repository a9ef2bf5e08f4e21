"""A file server that asks whoever is behind a claim whose it is, if its own auth server does not know it: the mistake
that the rendezvous is there to avoid.
"""

from contextlib import suppress
from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Malformed
from capkernel.protocols.hurd_auth import Auth, Claim
from servers.hurd import node_server
from servers.hurd.attached import Translators


class Trusting(Translators):
    """It believes whoever it is shown."""

    async def accepted(self, auth: Auth, claim: int) -> Any:
        """Ask the auth server, or else the claim itself."""
        with suppress(Malformed):
            return await super().accepted(auth, claim)
        shown = connect(Auth, Connection(self.inbox.sys, self.inbox), claim)
        return await shown.accept(connect(Claim, Connection(self.inbox.sys), claim))


class Program(node_server.NodeServer):
    """The server."""

    translators = Trusting
