"""Everything in one domain (see ``linked``), with the client of the benchmark."""

from servers.clients.linked import Linked
from servers.clients.measured import Program as Measured


class Program(Linked):
    """The domain."""

    client = Measured
