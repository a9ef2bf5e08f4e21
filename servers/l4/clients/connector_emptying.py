"""A resolver that deletes the cap to a dead server, and leaves the gate open: an empty slot is no fault."""

from servers.l4.clients import connector


class Program(connector.Program):
    """The resolver."""

    async def disconnect(self, client: int, gate: int) -> None:
        """Delete the cap; who waits for the dead calls again."""
        await self.gates[client].shut(gate)
        await self.gates[client].leave_empty(gate)
