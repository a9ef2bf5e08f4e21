"""A gateway that leaves out checks: ``leaves_out`` in its settings says which. It shows what each is good for."""

import tomllib

from policies.remote import gateway_server
from policies.remote.clients.careless import CarelessChecks
from policies.remote.gateway import Gateway, World


class Program(gateway_server.Program):
    """The server."""

    def made(self, world: World) -> Gateway:
        """With what is left of the checks."""
        return Gateway(world, CarelessChecks(frozenset(tomllib.loads(self.text).get("leaves_out", []))))
