"""A teller that waits for anybody between the two parts of a transfer."""

from servers.l4.clients import teller


class Program(teller.Program):
    """The server."""

    is_closed = False
