"""A resolver that connects, and does nothing when a server dies."""

from capkernel.user.loop import PD
from servers.l4.clients import connector


class Program(connector.Program):
    """The resolver."""

    async def died(self, pd: PD, server: int) -> None:
        """Nothing."""
