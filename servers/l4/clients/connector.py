"""A resolver for one client of a service that two servers offer."""

from servers.l4.resolver import Resolver

CLIENT, FIRST, SECOND = 0, 1, 2


class Program(Resolver):
    """The resolver."""

    clients = (CLIENT,)
    services = {0: (FIRST, SECOND)}
