"""The same, but it hands over what it has itself, and gives nothing up."""

from servers.hurd.clients import dropper


class Program(dropper.Program):
    """The client."""

    is_careless = True
