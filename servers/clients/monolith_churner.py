"""Everything in one domain (see ``linked``), with the client of the fault campaign."""

from servers.clients.churner import Program as Churner
from servers.clients.linked import Linked


class Program(Linked):
    """The domain."""

    client = Churner
