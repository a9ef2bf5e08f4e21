"""An attacker in the place of a gateway: it shows whatever token it is given, and cuts nothing when it is told to.

It has its own machine's key and nobody else's. What it holds back are all checks on its own side; the other side's are
what stands in its way.
"""

from typing import Any

from policies.remote import gateway_server
from policies.remote.clients.careless import EXPIRY, HOLDER, SIGNATURES, AnythingGoes, CarelessChecks
from policies.remote.gateway import Gateway, World
from policies.remote.objects import Reference, interface_numbered
from policies.remote.sessions import Machine

DIRECTORY = 3
"""The number of that interface."""


class Unshown(AnythingGoes):
    """No token at all, but the name of an object."""

    @property
    def grant(self) -> bytes:
        """What is said in place of a token's name."""
        return self.object.encode()


class RogueGateway(Gateway):
    """The gateway."""

    def __init__(self, world: World) -> None:
        super().__init__(world, CarelessChecks(frozenset({SIGNATURES, HOLDER, EXPIRY})))

    async def lookup(self, machine: str, name: str) -> Any:
        """What has that name over there, without asking: a directory, says this."""
        issuer, spoken = self._machine(machine), interface_numbered(DIRECTORY)
        token = Unshown(None, b"", name, spoken.number, b"", frozenset(), ())
        return self._inside(Reference(issuer, token, spoken))

    async def _cut_here(self, machine: Machine, grants: list[bytes]) -> None:
        """What was revoked is kept, and used."""


class Program(gateway_server.Program):
    """The server."""

    def made(self, world: World) -> Gateway:
        """The rogue one."""
        return RogueGateway(world)
