"""Everything in one domain (see ``linked``), with the writer of blocks."""

from servers.clients.block_writer import Program as BlockWriter
from servers.clients.linked import Linked


class Program(Linked):
    """The domain."""

    client = BlockWriter
